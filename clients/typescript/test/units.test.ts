// What needs no bus: addresses, back-off, positions, boxes, and that the types are those of the schema.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Endpoints, RECONNECT_MAX_MS, RECONNECT_MIN_MS, STEADY_MS } from "../src/endpoints.js";
import { ArqonError } from "../src/errors.js";
import type { Received } from "../src/frames.generated.js";
import { Mailbox } from "../src/mailboxes.js";
import { Message, read } from "../src/message.js";
import { EPOCHS_MAX, HOLES_MAX, Positions } from "../src/positions.js";
import { Questions } from "../src/questions.js";

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

test("a position is the highest offset of each stream, and what comes again is known", () => {
  const positions = new Positions();
  assert.equal(positions.advance("r:c", event("", 0)), true);
  const taken = [3, 4, 4, 1, 1, 7, 5, 6, 7].map((offset) => positions.advance("r:c", event("a", offset)));
  assert.deepEqual(taken, [true, true, false, true, false, true, true, true, false]);
  assert.equal(positions.advance("r:c", event("b", 1)), true);
  assert.deepEqual(positions.of("r:c"), { a: 7, b: 1 });
  positions.told("r:c", { a: 5, b: 9 });
  assert.deepEqual(positions.of("r:c"), { a: 7, b: 9 });
  positions.set("r:c", { z: 2 });
  assert.deepEqual(positions.of("r:c"), { z: 2 });
  positions.forget("r:c");
  assert.equal(positions.known("r:c"), false);
});

test("what is remembered of a channel is bounded", () => {
  const positions = new Positions();
  for (let i = 0; i < EPOCHS_MAX + 5; i += 1) positions.advance("r:c", event(`e${i}`, 1));
  assert.equal(Object.keys(positions.of("r:c")).length, EPOCHS_MAX);
  assert.equal(positions.forgotten, 5);
  for (let i = 1; i <= HOLES_MAX + 2; i += 1) positions.advance("r:d", event("a", 2 * i));
  assert.equal(positions.advance("r:d", event("a", 1)), false, "the lowest holes are given up");
  assert.equal(positions.advance("r:d", event("a", 2 * HOLES_MAX + 1)), true);
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
