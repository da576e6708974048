import { ArqonError } from "./errors.js";
import { CARRIED, type Message } from "./message.js";
import { isPattern, matches } from "./positions.js";

/** Messages received and not yet taken, per iterator. */
export const QUEUE_MAX = 10_000;

/** Whether somebody who asked for `what` (a channel, a pattern, `private` or `notice`) asked for this message. */
export function isFor(what: string, message: Message): boolean {
  if (message.type === "private" || !CARRIED.has(message.type)) {
    return what === (message.type === "private" ? "private" : "notice");
  }
  if (message.leaf === "*") return what === "*" || what.split(":")[0] === message.room; // said to everyone in the room
  return what === message.channel || (isPattern(what) && matches(what, message.channel));
}

export type Handler<M = Message> = (message: M) => void | Promise<void>;

/** Handlers by what they take. One that throws is reported, and the next message is handled. */
export class Handlers {
  private readonly byName = new Map<string, Set<Handler>>();

  add(name: string, handler: Handler): () => void {
    const own: Handler = (message) => handler(message); // the same function may be added twice
    const handlers = this.byName.get(name) ?? new Set();
    handlers.add(own);
    this.byName.set(name, handlers);
    return () => {
      handlers.delete(own);
      if (handlers.size === 0) this.byName.delete(name);
    };
  }

  call(message: Message): void {
    for (const [name, handlers] of [...this.byName]) {
      if (!isFor(name, message)) continue;
      for (const handler of [...handlers]) guarded(() => handler(message));
    }
  }
}

/** Run a callback of the application; what it throws goes to the console, as an event listener's would. */
export function guarded(work: () => void | Promise<void>): void {
  try {
    const result = work();
    if (result instanceof Promise) result.catch((wrong: unknown) => console.error("a handler of the bus client failed:", wrong));
  } catch (wrong) {
    console.error("a handler of the bus client failed:", wrong);
  }
}

/**
 * Messages for one `for await`. When it is full, `full` is told so that reading stops where the socket can do that;
 * a browser's cannot, and there the iterator ends with `bus.overflow` instead of eating all memory.
 */
export class Mailbox implements AsyncIterableIterator<Message> {
  readonly held: Message[] = [];
  private readonly onTaken: () => void;
  private readonly onDone: (box: Mailbox) => void;
  private waiting: { resolve: (result: IteratorResult<Message>) => void; reject: (wrong: Error) => void }[] = [];
  private over = false;
  private problem: ArqonError | undefined;

  constructor(onTaken: () => void, onDone: (box: Mailbox) => void) {
    this.onTaken = onTaken;
    this.onDone = onDone;
  }

  put(message: Message): void {
    if (this.over) return;
    const waiting = this.waiting.shift();
    if (waiting !== undefined) waiting.resolve({ value: message, done: false });
    else this.held.push(message);
  }

  overflow(): void {
    this.end(
      new ArqonError(
        "bus.overflow",
        `${this.held.length} messages wait to be taken; this socket cannot be read more slowly`,
        "take them faster, or join fewer channels",
      ),
    );
    this.onDone(this);
  }

  /** No more will come: the iterator ends after what is held, with the problem when there is one. */
  end(problem: ArqonError | undefined): void {
    if (this.over) return;
    this.over = true;
    this.problem = problem;
    for (const waiting of this.waiting.splice(0)) this.finish(waiting.resolve, waiting.reject);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Message>> {
    const message = this.held.shift();
    if (message !== undefined) {
      this.onTaken();
      return Promise.resolve({ value: message, done: false });
    }
    return new Promise((resolve, reject) => {
      if (this.over) this.finish(resolve, reject);
      else this.waiting.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<Message>> {
    this.end(undefined);
    this.held.length = 0;
    this.onDone(this);
    this.onTaken();
    return Promise.resolve({ value: undefined, done: true });
  }

  private finish(resolve: (result: IteratorResult<Message>) => void, reject: (wrong: Error) => void): void {
    if (this.problem !== undefined) {
      reject(this.problem);
      this.problem = undefined; // told once
    } else {
      resolve({ value: undefined, done: true });
    }
  }
}
