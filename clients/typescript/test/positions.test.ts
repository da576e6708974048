// What a client has seen of its channels, and what it fetches when the bus dropped something.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CatchUp } from "../src/catchup.js";
import type { Received } from "../src/frames.generated.js";
import { Message } from "../src/message.js";
import { Positions } from "../src/positions.js";
import { Refill } from "../src/refill.js";
import type { Position, Resumed } from "../src/resume.js";
import { EPOCHS_MAX, HOLES_MAX } from "../src/streams.js";

const CHANNEL = "r:c";
const OURS = "nnnnnnnnnn-1";
const THEIRS = "ffffffffff-1";

const frame = (epoch: string, offset: number): Received => ({
  ...{ type: "event", id: "i", from: "f", timestamp: "", v: 1 },
  ...{ room: "r", channel: "c", payload: offset, epoch, offset },
});
const event = (epoch: string, offset: number): Message => new Message(frame(epoch, offset));

/** After the answer to a first join, at node n. */
function joined(position: Position): Positions {
  const positions = new Positions();
  positions.connected("n".repeat(32));
  positions.told(CHANNEL, position);
  return positions;
}

const take = (positions: Positions, epoch: string, ...offsets: number[]): boolean[] =>
  offsets.map((offset) => positions.advance(CHANNEL, event(epoch, offset)));

test("a position goes back to before a hole, and what was seen comes once", () => {
  const positions = joined({ [THEIRS]: 4 });
  assert.equal(positions.advance(CHANNEL, event("", 0)), true);
  take(positions, THEIRS, 5, 8, 9);
  assert.deepEqual(positions.of(CHANNEL), { [THEIRS]: 5 });
  assert.deepEqual(take(positions, THEIRS, 6, 7, 8, 9, 10), [true, true, false, false, true]);
  assert.deepEqual(positions.of(CHANNEL), { [THEIRS]: 10 });
  positions.told(CHANNEL, { [THEIRS]: 7, z: 2 });
  assert.deepEqual(positions.of(CHANNEL), { [THEIRS]: 10, z: 2 });
  positions.set(CHANNEL, { z: 3 });
  assert.deepEqual(positions.of(CHANNEL), { z: 3 });
  positions.forget(CHANNEL);
  assert.equal(positions.known(CHANNEL), false);
});

test("what a client published itself is no hole while it is live", () => {
  const positions = joined({ [OURS]: 0, [THEIRS]: 0 });
  take(positions, OURS, 3);
  take(positions, THEIRS, 3);
  assert.deepEqual(positions.of(CHANNEL), { [OURS]: 3, [THEIRS]: 0 });
  positions.connected("n".repeat(32));
  take(positions, OURS, 9);
  assert.equal(positions.of(CHANNEL)[OURS], 3);
  assert.deepEqual(positions.answered(CHANNEL, { [OURS]: 9, [THEIRS]: 3 }, [{ epoch: OURS, first: 4, last: 8 }]), [
    { epoch: OURS, first: 4, last: 8 },
  ]);
  assert.deepEqual(positions.of(CHANNEL), { [OURS]: 9, [THEIRS]: 3 });
});

test("of the gaps that a bus names those are told that the client has not seen", () => {
  const positions = joined({ [THEIRS]: 0, old: 3 });
  take(positions, THEIRS, 1, 4);
  const unknown = { epoch: OURS, first: 5, last: null };
  assert.deepEqual(positions.answered(CHANNEL, { [THEIRS]: 9 }, [{ epoch: THEIRS, first: 2, last: 6 }, unknown]), [
    { epoch: THEIRS, first: 2, last: 3 },
    { epoch: THEIRS, first: 5, last: 6 },
    unknown,
  ]);
  assert.deepEqual(positions.of(CHANNEL), { [THEIRS]: 9 }, "what the bus has forgotten is named no more");
  assert.deepEqual(take(positions, "old", 3, 4), [false, true]);
});

test("a node that was not named is named before all its lives, and a pattern begins where it was first heard", () => {
  const positions = joined({ [OURS]: 1 });
  take(positions, "ffffffffff-7", 1);
  take(positions, "ffffffffff-8", 1);
  assert.deepEqual(positions.of(CHANNEL), { [OURS]: 1, "ffffffffff-0": 0, "ffffffffff-7": 1, "ffffffffff-8": 1 });
  const pattern = new Positions();
  take(pattern, THEIRS, 57);
  assert.deepEqual(pattern.of(CHANNEL), { [THEIRS]: 57 });
  assert.deepEqual(take(pattern, THEIRS, 56), [true]);
});

test("what is remembered of a channel is bounded, and what is forgotten is a gap", () => {
  let positions = joined({ [OURS]: 1 });
  for (let life = 1; life <= EPOCHS_MAX; life += 1) take(positions, `ffffffffff-${life.toString(36)}`, 1);
  assert.equal(Object.keys(positions.of(CHANNEL)).length, EPOCHS_MAX);
  assert.equal(positions.of(CHANNEL)[OURS], 1);
  assert.deepEqual(positions.answered(CHANNEL, positions.of(CHANNEL), []), [{ epoch: THEIRS, first: 2, last: null }]);
  positions = joined({ [THEIRS]: 0 });
  for (let i = 1; i <= HOLES_MAX + 1; i += 1) take(positions, THEIRS, 2 * i);
  assert.deepEqual(positions.of(CHANNEL), { [THEIRS]: 2 }, "the lowest holes are given up");
  assert.deepEqual(positions.answered(CHANNEL, { [THEIRS]: 99 }, []), [{ epoch: THEIRS, first: 1, last: 1 }]);
});

/** A history that ends at `head`, without what is below `low`; `meanwhile` happens while it is read first. */
function dropping(low: number, head: number, meanwhile: (refill: Refill, catchUp: CatchUp) => void = () => undefined) {
  const positions = joined({ [OURS]: 0 });
  const seen: number[] = [];
  const told: Resumed[] = [];
  let asked = 0;
  const handOn = (message: Message): boolean => {
    const fresh = positions.advance(CHANNEL, message);
    if (fresh) seen.push(message.offset);
    return fresh;
  };
  const catchUp = new CatchUp(positions, handOn, async (_command, args) => {
    const { since } = args as { since: Position };
    if ((asked += 1) === 1) meanwhile(refill, catchUp);
    await Promise.resolve();
    const from = Math.max(since[OURS] ?? 0, low - 1);
    const page = Array.from({ length: Math.min(2, Math.max(0, head - from)) }, (_, index) => frame(OURS, from + index + 1));
    const more = from + page.length < head;
    return new Message({ ...frame("", 0), payload: { messages: page, more, position: { [OURS]: head } } } as Received);
  });
  const refill = new Refill(catchUp, (one) => told.push(one));
  return { positions, seen, told, catchUp, refill };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test("what a bus dropped is fetched in its order, before what is live", async () => {
  const { seen, told, catchUp, refill } = dropping(1, 7);
  refill.dropped(5, new Map([[CHANNEL, ""]]), "u");
  for (const offset of [6, 7, 8]) assert.equal(catchUp.holds(event(OURS, offset)), true);
  await settled();
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(told.map((one) => [one.channel, one.recovered, one.missed]), [[CHANNEL, true, 7]]);
  assert.equal(catchUp.holds(event(OURS, 9)), false);
});

test("what is in no history any more is told", async () => {
  const { positions, seen, told, refill } = dropping(4, 5);
  refill.dropped(5, new Map([[CHANNEL, ""]]), "u");
  await settled();
  assert.deepEqual(seen, [4, 5]);
  assert.deepEqual(told[0]?.gaps, [{ epoch: OURS, first: 1, last: 3 }]);
  assert.deepEqual([told[1]?.channel, told[1]?.recovered], ["*", false]);
  assert.deepEqual(positions.of(CHANNEL), { [OURS]: 5 });
});

test("a connection that is lost meanwhile leaves the position where it was", async () => {
  const { positions, seen, told, refill } = dropping(1, 3, (own, catchUp) => {
    catchUp.holds(event(OURS, 3));
    own.stop();
  });
  refill.dropped(2, new Map([[CHANNEL, ""]]), "u");
  await settled();
  assert.deepEqual(told, []);
  assert.ok(seen.every((offset, index) => offset === index + 1), "in order, without a jump");
  assert.equal(positions.of(CHANNEL)[OURS], seen.length);
});
