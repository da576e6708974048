// The client against a real node.
import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { after, before, test } from "node:test";
import { ArqonError, connect, type BusClient, type Message, type Resumed, type State } from "../src/index.js";
import { Proxy, startNode, until, type TestNode } from "./node.js";

let node: TestNode;
const open: { close(): Promise<void> }[] = [];

before(async () => {
  node = await startNode();
});
after(async () => {
  await Promise.all(open.map((one) => one.close()));
  await node.stop();
});

async function client(url: string | string[] = node.url, options = {}): Promise<BusClient> {
  const bus = await connect(url, options);
  open.push(bus);
  return bus;
}

async function proxy(): Promise<Proxy> {
  const made = await Proxy.before(node.port);
  open.push({ close: () => made.shut().catch(() => undefined) });
  return made;
}

const collect = (bus: BusClient, channel: string): unknown[] => {
  const seen: unknown[] = [];
  bus.on(channel, (message) => {
    seen.push(message.payload);
  });
  return seen;
};

test("what one publishes another receives, in order, whatever JSON it is", async () => {
  const [publisher, member] = [await client(), await client()];
  assert.match(member.clientId, /^arq_/);
  const handled = collect(member, "order:here");
  const iterator = member.messages("order:here");
  await member.join("order:here");
  const bodies = [{ n: 1, x: "é" }, null, 7, "text", [1, 2], { long: "x".repeat(70_000) }];
  for (const body of bodies) await publisher.publish("order:here", body, { metadata: { a: 1 } });
  const got: unknown[] = [];
  for await (const message of iterator) {
    assert.deepEqual([message.type, message.channel, message.from], ["event", "order:here", publisher.clientId]);
    assert.deepEqual(message.metadata, { a: 1 });
    if (got.push(message.payload) === bodies.length) break;
  }
  assert.deepEqual(got, bodies);
  assert.deepEqual(handled, bodies);
});

test("a send says that the bus has it; a refusal says why not", async () => {
  const [publisher, member] = [await client(), await client()];
  await member.join("receipt:here");
  const receipt = await publisher.send("receipt:here", 1);
  assert.equal(receipt.delivered, 1);
  assert.match(receipt.id, /^arq_/);
  await assert.rejects(publisher.send("no channel's name", 1), { code: "bus.channel-name" });
  await assert.rejects(
    publisher.command("fly"),
    (wrong: ArqonError) => wrong.code === "bus.unknown-command" && wrong.hint !== "",
  );
});

test("a request is answered by a client, or by whoever is in the channel; a failure is the asker's", async () => {
  const [asker, agent] = [await client(), await client(node.url, { name: "agent", kind: "ai-agent" })];
  agent.onRequest((question) => {
    const { n } = question.payload as { n: number };
    if (n < 0) throw new Error("no root of that");
    return Math.sqrt(n);
  });
  agent.onRequest((question) => ({ echo: question.payload }), "service:echo");
  await agent.join("service:echo");
  assert.equal((await asker.request(agent.clientId, { n: 9 })).payload, 3);
  const answer = await asker.request<{ echo: string }>("service:echo", "hello");
  assert.equal(answer.payload.echo, "hello");
  await assert.rejects(asker.request(agent.clientId, { n: -1 }), /no root of that/);
  await assert.rejects(asker.request("arq_nobody", 1), { code: "bus.no-such-client" });
  await assert.rejects(asker.request("service:nobody", 1, { timeoutMs: 50 }), { code: "bus.request-timeout" });
});

test("private messages, presence and history", async () => {
  const [one, other] = [await client(node.url, { name: "one" }), await client(node.url, { name: "other" })];
  const notices: string[] = [];
  one.onPresence((presence) => notices.push(`${presence.name} ${presence.event}`));
  await one.join("people:here");
  await other.join("people:here");
  const members = await one.presence("people:here");
  assert.deepEqual(members.map((member) => member.name).sort(), ["one", "other"]);
  await other.leave("people:here");
  await until("the notices", () => notices.length === 2);
  assert.deepEqual(notices, ["other joined", "other left"]);

  const whispered = collect(other, "private");
  await one.private(other.clientId, "psst");
  await until("the private message", () => whispered.length === 1);

  for (let i = 0; i < 5; i += 1) await one.publish("people:here", i);
  const page = await one.history("people:here", { limit: 3 });
  assert.deepEqual(page.messages.map((message) => message.payload), [2, 3, 4]);
});

test("a typed channel hands on what passes its check", async () => {
  const [publisher, member] = [await client(), await client()];
  const isLoad = (payload: unknown): payload is { load: number } =>
    typeof (payload as { load?: unknown } | null)?.load === "number";
  const loads = member.channel("typed:load", isLoad);
  const seen: number[] = [];
  loads.on((message) => {
    seen.push(message.payload.load);
  });
  await loads.join();
  await publisher.publish("typed:load", "rubbish");
  await publisher.publish("typed:load", { load: 0.5 });
  await until("the load", () => seen.length === 1);
  assert.deepEqual([seen, loads.rejected], [[0.5], 1]);
});

test("a lost connection is replaced, and nothing that was published meanwhile is missing or comes twice", async () => {
  const [publisher, wire] = [await client(), await proxy()];
  const member = await client(wire.url);
  const seen = collect(member, "resume:here");
  const states: State[] = [];
  const resumed: Resumed[] = [];
  member.onState((state) => void states.push(state));
  member.onResume((one) => void resumed.push(one));
  await member.join("resume:here");
  const before = member.clientId;
  let n = 0;
  for (let round = 1; round <= 3; round += 1) {
    for (let i = 0; i < 20; i += 1) await publisher.send("resume:here", (n += 1));
    if (round > 1) await member.publish("resume:here", "by itself");
    await member.flush();
    wire.cut();
    for (let i = 0; i < 20; i += 1) await publisher.send("resume:here", (n += 1));
    await until("the reconnect", () => resumed.length === round);
    assert.deepEqual([resumed[round - 1]?.recovered, resumed[round - 1]?.gaps], [true, []]);
  }
  await until("the last", () => seen.at(-1) === n);
  assert.deepEqual(seen, Array.from({ length: n }, (_, i) => i + 1));
  assert.equal(states.filter((state) => state === "reconnecting").length, 3);
  assert.notEqual(member.clientId, before);
  assert.equal(member.reconnects, 3);
});

test("the channels of a pattern are caught up, what is live behind what was missed", async () => {
  const [publisher, wire] = [await client(), await proxy()];
  const member = await client(wire.url);
  const seen = collect(member, "pattern:*");
  const resumed: Resumed[] = [];
  member.onResume((one) => void resumed.push(one));
  await publisher.send("pattern:old", "before anybody listened");
  await member.join("pattern:*");
  await publisher.send("pattern:a", 1);
  await publisher.send("pattern:b", "b");
  await until("the first", () => seen.length === 2);
  wire.cut();
  for (let n = 2; n <= 700; n += 1) void publisher.publish("pattern:a", n);
  await publisher.flush();
  await until("the resumes", () => resumed.length === 3);
  await publisher.send("pattern:a", 701);
  await until("the last", () => seen.at(-1) === 701);
  assert.deepEqual(seen, [1, "b", ...Array.from({ length: 700 }, (_, i) => i + 2)]);
  assert.deepEqual(resumed.map((one) => [one.channel, one.recovered]), [["pattern:*", undefined], ["pattern:a", true], ["pattern:b", true]]);
});

test("what is said to a room reaches the handlers of its channels, each once", async () => {
  const [publisher, member] = [await client(), await client()];
  const seen = [collect(member, "everyone:a"), collect(member, "everyone:*"), collect(member, "*:a"), collect(member, "*")];
  await member.join("everyone:a");
  await publisher.send("everyone:a", 1);
  await publisher.send("everyone:*", 2);
  await until("both", () => seen[3]?.length === 2);
  assert.deepEqual(seen, [[1, 2], [1, 2], [1], [1, 2]]);
});

test("another process goes on from the position that one kept", async () => {
  const publisher = await client();
  const first = await client();
  const seen = collect(first, "kept:here");
  await first.join("kept:here");
  await publisher.send("kept:here", 1);
  await until("the first", () => seen.length === 1);
  const position = first.position("kept:here");
  await first.close();
  await publisher.send("kept:here", 2);
  const second = await client();
  const rest = collect(second, "kept:here");
  const resumed = await second.join("kept:here", { since: position });
  assert.deepEqual([resumed.recovered, resumed.missed, rest], [true, 1, [2]]);
});

test("when one node goes, the client goes on at the next", async () => {
  const [publisher, one, two] = [await client(), await proxy(), await proxy()];
  const member = await client([one.url, two.url]);
  const seen = collect(member, "nodes:here");
  await member.join("nodes:here");
  assert.equal(member.url, one.url);
  await one.shut();
  await publisher.send("nodes:here", "meanwhile");
  await until("what was missed", () => seen.length === 1);
  assert.equal(member.url, two.url);
});

test("a connection with nobody at the other end is noticed and replaced", async () => {
  const wire = await proxy();
  const member = await client(wire.url, { heartbeatMs: 250 });
  wire.freeze();
  await until("another connection", () => member.reconnects === 1);
  await member.flush();
  assert.ok(wire.accepted >= 2);
});

test("what is published while the connection is gone is sent when it is back", async () => {
  const [member, wire] = [await client(), await proxy()];
  const seen = collect(member, "wait:here");
  await member.join("wait:here");
  const publisher = await client(wire.url);
  wire.cut();
  await until("the loss", () => publisher.state === "reconnecting");
  await Promise.all([1, 2, 3].map((n) => publisher.publish("wait:here", n)));
  await until("all of it", () => seen.length === 3);
});

test("without reconnect the loss is the end, and everybody who waits is told", async () => {
  const wire = await proxy();
  const member = await client(wire.url, { reconnect: false });
  const iterator = member.messages();
  const next = iterator.next();
  wire.cut();
  await assert.rejects(next, { code: "bus.closed" });
  await assert.rejects(member.closed, { code: "bus.closed" });
  await assert.rejects(member.publish("a:b", 1), { code: "bus.closed" });
  assert.equal(member.state, "closed");
});

test("close ends iterators and sends, and may be repeated", async () => {
  const bus = await client();
  const left: Message[] = [];
  const reading = (async () => {
    for await (const message of bus.messages()) left.push(message);
  })();
  await bus.flush();
  await bus.close();
  await bus.close();
  await reading;
  await bus.closed;
  await assert.rejects(bus.publish("a:b", 1), { code: "bus.closed" });
  assert.deepEqual(left, []);
});

test("where no bus is, the error says what was tried and what helps", async () => {
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end("220 smtp\r\n\r\n", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const fails = (url: string | string[], code: string): Promise<void> =>
    assert.rejects(
      connect(url),
      (wrong: ArqonError) => wrong instanceof ArqonError && wrong.code === code && wrong.hint !== "",
    );
  await fails(`ws://127.0.0.1:${port}`, "bus.unreachable");
  await new Promise<void>((resolve) => server.close(() => resolve()));
  await fails(`ws://127.0.0.1:${port}`, "bus.unreachable");
  await fails([`ws://127.0.0.1:${port}`, `ws://localhost:${port}`], "bus.unreachable");
  await fails("http://127.0.0.1:1", "bus.address");
});

test("a refusal is told in the bus's own words; what is no bus is called what it is", async () => {
  const answers: Record<string, [number, string]> = {
    "/tenant": [403, '{"error":{"code":"bus.tenant","message":"the connection is of tenant other","hint":"connect to /t/TENANT"}}'],
    "/none": [401, '{"error":{"code":"bus.auth","message":"none was shown","hint":"Authorization"}}'],
    "/full": [429, '{"error":{"code":"bus.connections","message":"8 come from here","hint":""}}'],
    "/proxy": [403, "<html>"],
    "/http": [200, "{}"],
  };
  const server = http.createServer((request, response) => {
    const [status, body] = answers[request.url ?? ""] ?? [404, ""]; // whom the handshake tells nothing asks again
    response.writeHead(status).end(body);
  });
  server.on("upgrade", (request, socket) => {
    const [status, body] = answers[request.url ?? ""] ?? [404, ""];
    socket.end(`HTTP/1.1 ${status} No\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const refusal = async (path: string): Promise<ArqonError> => {
    const wrong: unknown = await connect(`ws://127.0.0.1:${port}${path}`, { reconnect: false }).catch((error: unknown) => error);
    assert.ok(wrong instanceof ArqonError);
    return wrong;
  };
  const told = [];
  for (const path of Object.keys(answers)) {
    const { code, denied, message, hint } = await refusal(path);
    told.push([code, denied, message.split(/: |with /).at(-1), hint.split("  ")[0]]);
  }
  assert.deepEqual(told, [
    ["bus.tenant", true, "the connection is of tenant other", "connect to /t/TENANT"],
    ["bus.auth", true, "none was shown", "connect(url, { token })"],
    ["bus.connections", false, "8 come from here", ""],
    ["bus.auth", true, "it gives no reason (HTTP 403)", "connect(url, { token })"],
    ["bus.unreachable", false, "HTTP 200, not as a bus", "arqon node status"],
  ]);
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

test("a page reads in a close code why it is refused", async () => {
  const name = "ws";
  const { WebSocket } = (await import(name)) as { WebSocket: new (url: string, protocols: string[], options: object) => never };
  const webSocket = (url: string, protocols: string[]): never => new WebSocket(url, protocols, { origin: "http://evil.example" });
  const wrong: unknown = await connect(node.url, { reconnect: false, webSocket }).catch((error: unknown) => error);
  assert.ok(wrong instanceof ArqonError);
  assert.equal(wrong.code, "bus.origin");
  assert.match(wrong.message, /does not let this client in: the page comes from 'http:\/\/evil.example'/);
});

test("a handler that throws does not stop the others", async (t) => {
  const [publisher, member] = [await client(), await client()];
  const reported = t.mock.method(console, "error", () => undefined);
  member.on("throw:here", () => {
    throw new Error("mine");
  });
  member.on("throw:here", () => Promise.reject(new Error("mine too")));
  const seen = collect(member, "throw:here");
  await member.join("throw:here");
  await publisher.send("throw:here", 1);
  await publisher.send("throw:here", 2);
  await until("both", () => seen.length === 2);
  assert.equal(reported.mock.callCount(), 4);
});
