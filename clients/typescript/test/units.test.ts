// What needs no bus: addresses, back-off, positions, boxes, and that the types are those of the schema.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Endpoints, RECONNECT_MAX_MS, RECONNECT_MIN_MS, STEADY_MS } from "../src/endpoints.js";
import { ArqonError, ended, toldError } from "../src/errors.js";
import type { Received } from "../src/frames.generated.js";
import { Mailbox } from "../src/mailboxes.js";
import { Message, read } from "../src/message.js";
import { BusClient } from "../src/client.js";
import { Questions } from "../src/questions.js";
import { cut, joinedAt, oddBus, type OddSocket } from "./odd.js";

const event = (epoch: string, offset: number, channel = "c"): Message =>
  new Message({ type: "event", id: "i", from: "f", timestamp: "", v: 1, room: "r", channel, payload: 1, epoch, offset });

test("the committed types are those of the schema", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "arqon-types-"));
  const out = path.join(folder, "out.ts");
  execFileSync(process.execPath, ["scripts/generate.mjs", "../../docs/spec/bus.schema.json", out]);
  assert.equal(readFileSync(out, "utf8"), readFileSync("src/frames.generated.ts", "utf8"), "run: npm run generate");
  rmSync(folder, { recursive: true });
});

test("an address that is none is refused with one that would be right", () => {
  for (const url of ["http://h:1", "", "ws://", "ws://h:notaport", "mailto:x"]) {
    assert.throws(
      () => new Endpoints(url, {}),
      (wrong: ArqonError) => wrong.code === "bus.address" && wrong.hint !== "",
      url,
    );
  }
  assert.throws(() => new Endpoints([], {}), ArqonError);
  assert.equal(new Endpoints("127.0.0.1:9100", {}).current, "ws://127.0.0.1:9100");
  assert.equal(new Endpoints("ws://h/p?a=1", { name: "é b", type: "" }).target(), "ws://h/p?a=1&name=%C3%A9+b");
});

test("a lost client goes round all nodes before it waits longer, and the wait is bounded and random", (t) => {
  t.mock.method(Math, "random", () => 1);
  const endpoints = new Endpoints(["ws://a", "ws://b"], {});
  endpoints.lost(STEADY_MS);
  assert.equal(endpoints.current, "ws://b");
  assert.equal(endpoints.waitMs(), RECONNECT_MIN_MS);
  endpoints.failed();
  assert.deepEqual([endpoints.current, endpoints.waitMs()], ["ws://a", RECONNECT_MIN_MS]);
  endpoints.failed();
  assert.equal(endpoints.waitMs(), 2 * RECONNECT_MIN_MS);
  for (let i = 0; i < 100; i += 1) endpoints.failed();
  assert.equal(endpoints.waitMs(), RECONNECT_MAX_MS);
  t.mock.method(Math, "random", () => 0);
  assert.equal(endpoints.waitMs(), 0);
});

test("an iterator gives what is held, then ends or rejects once", async () => {
  const box = new Mailbox(
    () => undefined,
    () => undefined,
  );
  box.put(event("a", 1));
  const waiting = [box.next(), box.next()];
  box.put(event("a", 2));
  assert.deepEqual((await Promise.all(waiting)).map((one) => (one.value as Message).offset), [1, 2]);
  box.put(event("a", 3));
  box.overflow();
  assert.equal(((await box.next()).value as Message).offset, 3);
  await assert.rejects(box.next(), { code: "bus.overflow" });
  assert.equal((await box.next()).done, true);
});

test("an answer goes to who asked, once, and a late one to nobody", async () => {
  const questions = new Questions();
  const { id, answer } = questions.ask();
  const frame: Received = { type: "response", id: "x", from: "arqonbus", timestamp: "", v: 1, status: "success", payload: {}, request_id: id };
  assert.equal(questions.answered(new Message({ ...frame, request_id: "another" })), false);
  assert.equal(questions.answered(new Message(frame)), true);
  assert.equal((await answer).id, "x");
  questions.forget(id);
  assert.equal(questions.answered(new Message(frame)), true);
  assert.equal(questions.late, 1);
});

test("what is no envelope is not read as one", () => {
  for (const text of ["", "{", "1", "null", "[]", '{"type":1}']) assert.equal(read(text), undefined);
  assert.equal(read('{"type":"event","room":"a","channel":"b"}')?.channel, "a:b");
});

test("a hint for a program is a call of this client", () => {
  const hints: [unknown, string][] = [
    [{ type: "list_channels" }, 'bus.command("list_channels")'],
    [{ type: "info", channel: "a:b" }, 'bus.command("info", {"channel":"a:b"})'],
    [{ type: "join", channel: "a:b", since: {} }, 'bus.join("a:b")'],
    [{ type: "event", channel: "a:b", payload: { x: 1 } }, 'bus.publish("a:b", {"x":1})'],
    [{ type: "private", to: ["arq_1"], payload: 1 }, 'bus.private("arq_...", 1)'],
    [{ type: "command", command: "update_client", args: { name: "x" } }, 'bus.command("update_client", {"name":"x"})'],
    [{ type: "authenticate", args: { token: "..." } }, "connect(url, { token }) with a token or key that may"],
    [{ a: 1 }, '{"a":1}'],
    [null, "null"],
  ];
  for (const [frame, call] of hints) assert.equal(toldError({ code: "bus.x", hint: JSON.stringify(frame) }).hint, call);
  assert.equal(toldError({ code: "bus.x", hint: "help" }).hint, "help");
});

test("a connection that is closed because its token ended says so", () => {
  const wrong = ended("ws://h", "closed with 4401 bus.auth-expired: the token or key expired");
  assert.deepEqual([wrong.code, wrong.denied, wrong.message], [
    "bus.auth-expired",
    true,
    "ws://h closed this connection: the token or key expired",
  ]);
  assert.equal(ended("ws://h", "closed with 1001 bye").code, "bus.closed");
});

test("of two nodes that hang up neither is passed over", async () => {
  const came: string[] = [];
  let failing = false;
  const webSocket = oddBus((url, command) => {
    if (failing) came.push(new URL(url).hostname);
    return failing ? null : joinedAt(command.id);
  });
  const client = await BusClient.connect(["ws://one:1", "ws://other:1"], { webSocket });
  await client.join("a:b");
  failing = true;
  const back = new Promise<void>((resolve) => {
    client.onState((state) => {
      if (state === "connected") resolve();
    });
  });
  await client.publish("a:b", "the last");
  while (came.length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  failing = false;
  await back;
  assert.deepEqual(new Set(came.slice(1, 3)), new Set(["one", "other"]));
  await client.close();
});

test("a client with more channels than its rate comes back", async () => {
  const taken = new Set<string>();
  let limit = Infinity;
  const webSocket = oddBus((_url, command) => {
    if ((limit -= 1) < 0) return { type: "error", payload: { code: "bus.rate-limited", message: "too fast", dropped: 1 } };
    taken.add(command.args.channel ?? "");
    return joinedAt(command.id);
  });
  const client = await BusClient.connect("ws://one:1", { webSocket });
  const channels = Array.from({ length: 40 }, (_, number) => `a:${number}`);
  for (const channel of channels) await client.join(channel);
  taken.clear();
  const back = new Promise<void>((resolve) => {
    client.onState((state) => {
      if (state === "connected") resolve();
      else limit = 25;
    });
  });
  const again = setInterval(() => (limit = 25), 900);
  cut(client);
  await back;
  clearInterval(again);
  assert.deepEqual(taken, new Set(channels));
  assert.equal(client.reconnects, 1);
  await client.close();
});

test("a channel that is no longer allowed takes nothing from the others", async (t) => {
  t.mock.method(console, "warn", () => undefined);
  let secret = false;
  const webSocket = oddBus((_url, { id, args }) => {
    if (!secret || args.channel !== "secret:x") return joinedAt(id);
    return { type: "error", request_id: id, payload: { code: "bus.forbidden", message: "not any more" } };
  });
  const client = await BusClient.connect("ws://one:1", { webSocket });
  for (const channel of ["secret:x", "a:b"]) await client.join(channel);
  const told = new Map<string, boolean | undefined>();
  const both = new Promise<void>((resolve) => {
    client.onResume((one) => {
      told.set(one.channel, one.recovered);
      if (told.size === 2) resolve();
    });
  });
  secret = true;
  cut(client);
  await both;
  assert.deepEqual([...told], [["secret:x", false], ["a:b", undefined]]);
  assert.equal(client.state, "connected");
  await client.close();
});

test("a join that waits on a backed-up socket is rejected with the connection, and not sent on the next", async () => {
  const sockets: OddSocket[] = [];
  const asked: string[] = [];
  const webSocket = oddBus((_url, { id, args }) => {
    asked.push(args.channel ?? "");
    return joinedAt(id);
  }, sockets);
  const client = await BusClient.connect("ws://one:1", { webSocket });
  await client.join("a:b");
  const first = sockets[0] as OddSocket;
  first.bufferedAmount = 1 << 30;
  const back = new Promise<void>((resolve) => {
    client.onState((state) => {
      if (state === "connected") resolve();
    });
  });
  const waiting = client.join("a:c");
  await new Promise((resolve) => setTimeout(resolve, 20));
  cut(client);
  await assert.rejects(waiting, { code: "bus.closed" });
  await back;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(asked, ["a:b", "a:b"]);
  await client.close();
});

test("a busy bus is asked again on the same connection", async () => {
  let busy = 0;
  let came = 0;
  const webSocket = oddBus((_url, { id }) => {
    came += 1;
    if ((busy -= 1) < 0) return joinedAt(id);
    return { type: "error", request_id: id, payload: { code: "bus.history-busy", message: "busy", retry_after_ms: 10 } };
  });
  const client = await BusClient.connect("ws://one:1", { webSocket });
  await client.join("a:b");
  const back = new Promise<void>((resolve) => {
    client.onState((state) => {
      if (state === "connected") resolve();
      else busy = 3;
    });
  });
  cut(client);
  await back;
  assert.deepEqual([client.reconnects, came], [1, 5]);
  busy = 10_000;
  await assert.rejects(client.command("history", {}, { timeoutMs: 60 }), { code: "bus.history-busy", retryAfterMs: 10 });
  await client.close();
});
