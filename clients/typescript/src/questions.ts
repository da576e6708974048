import type { ArqonError } from "./errors.js";
import type { Message } from "./message.js";

interface Asked {
  resolve: (message: Message) => void;
  reject: (problem: ArqonError) => void;
}

/** What was asked and not yet answered. An id is never used twice, so a late answer finds nobody. */
export class Questions {
  /** Answers to what was given up. */
  late = 0;
  private readonly open = new Map<string, Asked>();
  private readonly prefix = `q${Math.random().toString(36).slice(2, 10)}-`;
  private count = 0;

  get size(): number {
    return this.open.size;
  }

  /** An id for a frame that is about to be sent, and its answer; ends with `forget`. */
  ask(): { id: string; answer: Promise<Message> } {
    const id = `${this.prefix}${(this.count += 1)}`;
    const answer = new Promise<Message>((resolve, reject) => this.open.set(id, { resolve, reject }));
    answer.catch(() => undefined); // who asked may have given up by then
    return { id, answer };
  }

  forget(id: string): void {
    this.open.delete(id);
  }

  /** Whether this is an answer to something that this client asked; who asked has it then. */
  answered(message: Message): boolean {
    const id = message.requestId || (message.type === "private" ? message.correlationId : "");
    if (!id.startsWith(this.prefix)) return false;
    const asked = this.open.get(id);
    if (asked === undefined) this.late += 1;
    else asked.resolve(message);
    return true;
  }

  /** Nothing will be answered any more on this connection. */
  fail(problem: ArqonError): void {
    for (const asked of this.open.values()) asked.reject(problem);
  }
}
