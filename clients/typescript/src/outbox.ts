import { ArqonError } from "./errors.js";
import type { Connection } from "./socket.js";

/** Sends that may wait for a connection, or for it to take more; beyond, `bus.buffer-full`. */
export const SENDS_WAITING_MAX = 10_000;
/** How often a socket that is backed up is looked at: no WebSocket has an event for that. */
const LOOK_MS = 5;

interface Waiting {
  text: string;
  given: { up: boolean };
  sent: () => void;
  failed: (wrong: unknown) => void;
}

/**
 * Sends frames on the connection that there is, in the order in which they were given, and makes those wait for whom there
 * is none, or one that is backed up.
 */
export class Outbox {
  private readonly connection: () => Connection | undefined;
  private readonly url: () => string;
  private waiting: Waiting[] = [];
  private drain: ReturnType<typeof setTimeout> | undefined;
  private problem: ArqonError | undefined;

  constructor(connection: () => Connection | undefined, url: () => string) {
    this.connection = connection;
    this.url = url;
  }

  /** Send one frame, unless `given` says meanwhile that nobody wants it any more. Rejects once it is all over. */
  async send(text: string, given: { up: boolean } = { up: false }): Promise<void> {
    if (this.problem !== undefined) throw this.problem;
    const connection = this.connection();
    if (this.waiting.length === 0 && connection?.canWrite) {
      connection.send(text);
      return;
    }
    if (this.waiting.length >= SENDS_WAITING_MAX) {
      throw new ArqonError(
        "bus.buffer-full",
        `${this.waiting.length} messages wait to be sent to ${this.url()}`,
        "await each publish, or send less while the state is not connected",
      );
    }
    await new Promise<void>((sent, failed) => {
      this.waiting.push({ text, given, sent, failed });
      this.wake();
    });
  }

  /** Something has changed: a connection is there, or takes more. */
  wake(): void {
    const connection = this.connection();
    let done = 0;
    while (done < this.waiting.length && connection?.canWrite) {
      const { text, given, sent, failed } = this.waiting[done] as Waiting;
      done += 1;
      try {
        if (!given.up) connection.send(text);
        sent();
      } catch (wrong) {
        failed(wrong);
      }
    }
    this.waiting.splice(0, done);
    if (this.waiting.length > 0 && connection !== undefined) this.lookAgain();
  }

  end(problem: ArqonError): void {
    this.problem ??= problem;
    clearTimeout(this.drain);
    for (const { failed } of this.waiting.splice(0)) failed(this.problem);
  }

  private lookAgain(): void {
    this.drain ??= setTimeout(() => {
      this.drain = undefined;
      this.wake();
    }, LOOK_MS);
  }
}
