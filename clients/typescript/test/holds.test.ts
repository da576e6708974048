// Holding back what is live until what was missed has come: each hold has one owner, and ends once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { HOLDING_MAX, type Ask } from "../src/catchup.js";
import { BusClient } from "../src/client.js";
import type { Asking } from "../src/commands.js";
import { Endpoints } from "../src/endpoints.js";
import { ArqonError } from "../src/errors.js";
import type { Received } from "../src/frames.generated.js";
import { Message } from "../src/message.js";
import type { Position, Resumed } from "../src/resume.js";
import { Subscriptions } from "../src/subscriptions.js";
import { until } from "./node.js";
import { cut, joinedAt, oddBus, type OddSocket } from "./odd.js";

const A1 = "aaaaaaaaaa-1";
const A2 = "aaaaaaaaaa-2";

const frame = (channel: string, offset: number, epoch = A1): Received => ({
  ...{ type: "event", id: "i", from: "f", timestamp: "2026-01-01T00:00:00.000Z", v: 1 },
  ...{ room: "a", channel, payload: offset, epoch, offset },
});
const answer = (payload: object): Message => new Message({ ...frame("", 0), payload } as Received);
const page = (messages: Received[], position: Position, more: object = {}): Message => answer({ messages, position, ...more });
const lost = (): ArqonError => new ArqonError("bus.closed", "connection lost");
const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

type Args = { channel: string; since?: Position };

/** In a:b at A-1:1, on a connection that has just been made; `ask` is scripted. */
function subscribed(ask: (command: string, args: Args) => Message | Promise<Message>, ...channels: string[]) {
  const seen: [string, number][] = [];
  const told: Resumed[] = [];
  const take = (message: Message): boolean => {
    const fresh = subscriptions.positions.advance(message.channel, message);
    if (fresh) seen.push([message.leaf, message.offset]);
    return fresh;
  };
  const scripted: Ask = async (command, args, signal) => {
    const given = new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(lost())));
    given.catch(() => undefined);
    return Promise.race([ask(command, args as Args), given]);
  };
  const subscriptions = new Subscriptions(new Endpoints("ws://h", {}), scripted, take, (one) => told.push(one));
  const live = (channel: string, offset: number, epoch = A1): void => {
    const message = new Message(frame(channel, offset, epoch));
    if (!subscriptions.catchUp.holds(message)) take(message);
  };
  const connected = (): void => subscriptions.positions.connected("aaaaaaaaaa");
  connected();
  for (const channel of channels) subscriptions.positions.told(channel, { [A1]: 1 });
  return { subscriptions, seen, told, live, connected };
}

const never = new Promise<Message>(() => undefined);

test("a channel that is refused takes nothing from the others, and goes on behind a hole", async () => {
  const asked: string[] = [];
  const { subscriptions, seen, told, live } = subscribed((_command, { channel }) => {
    asked.push(channel);
    if (channel === "a:b") throw new ArqonError("bus.odd", "not today");
    return page([frame("c", 2)], { [A1]: 2 });
  }, "a:b", "a:c");
  for (const channel of ["$mesh", "a:b", "a:c"]) subscriptions.joined.add(channel);
  subscriptions.dropped(2);
  await later();
  live("b", 3);
  live("b", 5); // what it published itself lies between
  assert.deepEqual(asked, ["a:b", "a:c"]);
  assert.deepEqual(seen, [["c", 2], ["b", 3], ["b", 5]]);
  assert.deepEqual(told.map((one) => [one.channel, one.recovered]), [["a:b", false], ["a:c", true], ["*", false]]);
  assert.deepEqual(subscriptions.positions.of("a:b"), { [A1]: 1 }, "the hole is asked for at the next return");
  subscriptions.positions.unsettle("a:b");
  assert.deepEqual(subscriptions.positions.close("a:b", { [A1]: 1 }), [{ epoch: A1, first: 2, last: 2 }], "and no other");
});

test("what a refill holds is not thrown away by a pattern that has caught the channel up before", async () => {
  let goOn: ((message: Message) => void) | undefined;
  let heads = 2;
  let block = false;
  const { subscriptions, seen, live, connected } = subscribed((command, { channel, since = {} }) => {
    if (command !== "history") return answer({ success: true });
    if (channel === "a:c") return goOn === undefined ? new Promise((resolve) => (goOn = resolve)) : page([], { [A1]: 1 });
    if (block) return never;
    const from = since[A1] ?? 0;
    return page(Array.from({ length: heads - from }, (_, index) => frame("b", from + index + 1)), { [A1]: heads });
  }, "a:b", "a:c");
  subscriptions.joined.add("a:*");
  connected();
  const again = subscriptions.joinAgain();
  await later();
  assert.deepEqual(seen, [["b", 2]]);
  block = true;
  heads = 4;
  subscriptions.dropped(1); // a:b 3
  live("b", 4);
  goOn?.(page([], { [A1]: 1 }));
  await again;
  assert.equal(subscriptions.catchUp.has("a:b"), true);
  assert.deepEqual(subscriptions.positions.of("a:b"), { [A1]: 2 });
  subscriptions.refill.stop();
  block = false;
  connected();
  await subscriptions.joinAgain();
  assert.deepEqual(seen, [["b", 2], ["b", 3], ["b", 4]]);
});

test("a join that a rate limit has dropped is asked again, and throws nothing away", async () => {
  let joins = 0;
  const { subscriptions, seen, live, connected } = subscribed((command) => {
    if (command === "history") return page([frame("b", 2), frame("b", 3)], { [A1]: 3 });
    return (joins += 1) === 1 ? never : answer({ success: true });
  }, "a:b");
  subscriptions.joined.add("a:*");
  connected();
  const again = subscriptions.joinAgain();
  subscriptions.tooFast(1);
  live("b", 3);
  const resumes = await again;
  live("b", 4);
  assert.deepEqual(seen, [["b", 2], ["b", 3], ["b", 4]]);
  assert.deepEqual(resumes.map((one) => [one.channel, one.recovered]), [["a:*", undefined], ["a:b", true]]);
  assert.deepEqual([joins, subscriptions.catchUp.has("a:b")], [2, false]);
});

for (const joined of ["a:b", "a:*"]) {
  test(`an answer that was cut off is asked for again from the same position (${joined})`, async () => {
    const asked: Position[] = [];
    const doubt = { epoch: A1, first: 2, last: null };
    const { subscriptions, connected } = subscribed((command, { since }) => {
      if (since === undefined) return answer({ success: true });
      asked.push({ ...since });
      if (asked.length === 1 && command === "history") return page([frame("b", 1, A2)], { [A1]: 1, [A2]: 9 }, { more: true, gaps: [doubt] });
      if (asked.length === 1) subscriptions.positions.advance("a:b", new Message(frame("b", 1, A2)));
      if (asked.length === (command === "history" ? 2 : 1)) throw lost();
      const gaps = A2 in since ? [] : [doubt];
      return answer({ ...(command === "history" ? { messages: [] } : { recovered: gaps.length === 0 }), gaps, position: { [A1]: 1, [A2]: 1 } });
    }, "a:b");
    subscriptions.joined.add(joined);
    connected();
    await assert.rejects(subscriptions.joinAgain(), { code: "bus.closed" });
    assert.deepEqual(subscriptions.positions.of("a:b"), { [A1]: 1 }, "what the application may keep");
    connected();
    const resumes = await subscriptions.joinAgain();
    assert.deepEqual([asked[0], asked.at(-1)], [{ [A1]: 1 }, { [A1]: 1 }]);
    assert.deepEqual([resumes.at(-1)?.recovered, resumes.at(-1)?.gaps], [false, [doubt]]);
    connected();
    assert.equal((await subscriptions.joinAgain()).at(-1)?.recovered, true);
    assert.deepEqual(asked.at(-1), { [A1]: 1, [A2]: 1 });
  });
}

test("what is dropped of an answer on its way is fetched", async () => {
  const { subscriptions, seen, live, connected } = subscribed((command) => {
    if (command === "history") return page([2, 3, 4].map((offset) => frame("b", offset)), { [A1]: 4 });
    live("b", 3);
    subscriptions.dropped(1);
    return answer({ recovered: true, missed: 3, position: { [A1]: 4 } });
  }, "a:b");
  subscriptions.joined.add("a:b");
  connected();
  await subscriptions.joinAgain();
  await later();
  assert.deepEqual(seen, [["b", 3], ["b", 2], ["b", 4]]);
  assert.deepEqual(subscriptions.positions.of("a:b"), { [A1]: 4 });
});

test("who may join and not read history comes back, from where the channel is by then", async (t) => {
  t.mock.method(console, "warn", () => undefined);
  const { subscriptions, live, connected } = subscribed((_command, { since }) => {
    if (since !== undefined) throw new ArqonError("bus.forbidden", "not its history");
    return answer({ success: true, position: { [A1]: 3 } });
  }, "a:b");
  subscriptions.joined.add("a:b");
  connected();
  const resumes = await subscriptions.joinAgain();
  assert.deepEqual(resumes.map((one) => [one.recovered, one.gaps]), [[false, [{ epoch: A1, first: 2, last: 3 }]]]);
  live("b", 4);
  assert.deepEqual(subscriptions.positions.of("a:b"), { [A1]: 4 });
});

test("what was dropped in more channels than are held comes too", async () => {
  const channels = Array.from({ length: HOLDING_MAX + 40 }, (_, number) => `a:${number}`);
  const { subscriptions, seen, told, live } = subscribed(
    (_command, { channel }) => page([2, 3].map((offset) => frame(channel.slice(2), offset)), { [A1]: 3 }),
    ...channels,
  );
  subscriptions.joined.add("a:*");
  subscriptions.dropped(channels.length);
  for (const channel of channels) live(channel.slice(2), 3);
  await until("all of it", () => told.length === channels.length);
  assert.equal(seen.length, 2 * channels.length);
  assert.ok(told.every((one) => one.recovered === true), "and it is all that was dropped");
  assert.ok(channels.every((channel) => subscriptions.positions.of(channel)[A1] === 3));
});

test("what is published after the notice does not hide what was not found", async () => {
  const { subscriptions, seen, told, live } = subscribed(async () => {
    live("b", 3);
    live("b", 4);
    return page([2, 3, 4].map((offset) => frame("b", offset)), { [A1]: 4 });
  }, "a:b");
  subscriptions.joined.add("a:b");
  subscriptions.dropped(2); // a:b 2, and a private message
  await later();
  assert.deepEqual(seen, [["b", 2], ["b", 3], ["b", 4]]);
  assert.deepEqual(told.map((one) => [one.channel, one.recovered, one.missed]), [["a:b", true, 3], ["*", false, 1]]);
});

for (const how of ["a:b", "a:*"]) {
  test(`who leaves meanwhile is fetched nothing more (${how})`, async () => {
    let asked = 0;
    let goOn: (message: Message) => void = () => undefined;
    const { subscriptions, seen, told, live } = subscribed(() => {
      asked += 1;
      return new Promise((resolve) => (goOn = resolve));
    }, "a:b");
    subscriptions.joined.add(how);
    subscriptions.dropped(1);
    live("b", 3);
    subscriptions.leave(how);
    goOn(page([frame("b", 2)], { [A1]: 9 }, { more: true }));
    await later();
    assert.deepEqual([asked, seen, told.map((one) => one.channel)], [1, [], ["*"]]);
    assert.deepEqual(subscriptions.positions.of("a:b"), {});
  });
}

test("joins that nobody objects to become more at once again, and a dropped one waits for as long as the bus says", async () => {
  let now = 0;
  let most = 0;
  let first = 0;
  const { subscriptions } = subscribed(async () => {
    most = Math.max(most, (now += 1));
    await later();
    if (first === 0) first = now;
    now -= 1;
    return answer({ success: true, position: {} });
  });
  for (let number = 0; number < 400; number += 1) subscriptions.joined.add(`a:${number}`);
  const inside = subscriptions as unknown as { atOnce: number; slower: ((pauseMs: number) => void) | undefined };
  inside.atOnce = 1;
  await subscriptions.joinAgain();
  assert.deepEqual([first, most > 16, inside.atOnce > 16], [1, true, true]);
  const pauses: number[] = [];
  inside.slower = (pauseMs) => pauses.push(pauseMs);
  for (const told of [undefined, 20, 5_000, 1e9]) subscriptions.tooFast(told);
  assert.deepEqual(pauses, [1_000, 1_000, 5_000, 30_000]);
});

test("an answer's time counts from when anything was last heard, for what the client itself asks", async () => {
  const sockets: OddSocket[] = [];
  const webSocket = oddBus((_url, { id }) => {
    let count = 0;
    const talking = setInterval(() => {
      sockets[0]?.say((count += 1) < 12 ? { payload: { event: "something else" } } : joinedAt(id));
      if (count === 12) clearInterval(talking);
    }, 20);
    return undefined;
  }, sockets);
  const client = await BusClient.connect("ws://one:1", { webSocket });
  type Inside = { session: { commands: { ask(command: string, args: object, how: Asking): Promise<Message> } } };
  const { commands } = (client as unknown as Inside).session;
  assert.equal((await commands.ask("join_channel", {}, { timeoutMs: 100, patienceMs: 100 })).type, "response");
  await assert.rejects(commands.ask("ping", {}, { timeoutMs: 100 }), { code: "bus.timeout" });
  await later();
  await client.close();
});

test("what is published later does not overtake what waits", async () => {
  const sockets: OddSocket[] = [];
  const sent: unknown[] = [];
  const webSocket = oddBus((_url, { payload }) => void sent.push(payload), sockets);
  const client = await BusClient.connect("ws://one:1", { webSocket });
  const socket = sockets[0] as OddSocket;
  socket.bufferedAmount = 1 << 30;
  const waiting = [1, 2].map((n) => client.publish("a:b", n));
  socket.bufferedAmount = 0;
  waiting.push(client.publish("a:b", 3));
  await Promise.all(waiting);
  assert.deepEqual(sent, [1, 2, 3]);
  cut(client);
  const more = [4, 5].map((n) => client.publish("a:b", n));
  await Promise.all(more);
  assert.deepEqual(sent, [1, 2, 3, 4, 5]);
  await client.close();
});
