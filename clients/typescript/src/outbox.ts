import { ArqonError } from "./errors.js";
import type { Connection } from "./socket.js";

/** Sends that may wait for a connection, or for it to take more; beyond, `bus.buffer-full`. */
export const SENDS_WAITING_MAX = 10_000;
/** How often a socket that is backed up is looked at: no WebSocket has an event for that. */
const LOOK_MS = 5;

/** Sends frames on the connection that there is, and makes those wait for whom there is none, or one that is backed up. */
export class Outbox {
  private readonly connection: () => Connection | undefined;
  private readonly url: () => string;
  private waiting: (() => void)[] = [];
  private drain: ReturnType<typeof setTimeout> | undefined;
  private problem: ArqonError | undefined;

  constructor(connection: () => Connection | undefined, url: () => string) {
    this.connection = connection;
    this.url = url;
  }

  /** Send one frame, unless `given` says meanwhile that nobody wants it any more. Rejects once it is all over. */
  async send(text: string, given: { up: boolean } = { up: false }): Promise<void> {
    while (!given.up) {
      if (this.problem !== undefined) throw this.problem;
      const connection = this.connection();
      if (connection?.canWrite) {
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
      if (connection !== undefined) this.lookAgain();
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  /** Something has changed: a connection is there, or it is all over. */
  wake(): void {
    for (const go of this.waiting.splice(0)) go();
  }

  end(problem: ArqonError): void {
    this.problem ??= problem;
    clearTimeout(this.drain);
    this.wake();
  }

  private lookAgain(): void {
    this.drain ??= setTimeout(() => {
      this.drain = undefined;
      const connection = this.connection();
      if (connection?.canWrite) this.wake();
      else if (this.waiting.length > 0 && connection !== undefined) this.lookAgain();
    }, LOOK_MS);
  }
}
