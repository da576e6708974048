import { ArqonError, isOurs, noAnswer, toldError } from "./errors.js";
import type { ErrorFrame } from "./frames.generated.js";
import type { Link } from "./link.js";
import type { Message } from "./message.js";
import type { Outbox } from "./outbox.js";
import { Questions } from "./questions.js";

export const COMMAND_TIMEOUT_MS = 10_000;
/** However much else comes before an answer. */
const ANSWER_MAX_MS = 600_000;

export interface Asking {
  timeoutMs?: number;
  /** How long a bus that is busy is asked again; with it, an answer's time counts from when anything was last heard. */
  patienceMs?: number;
  signal?: AbortSignal | undefined;
  /** Whoever answers, and not the bus alone. */
  byAnyone?: boolean;
}

/** Frames with an id of their own, and what answers them. */
export class Commands {
  readonly questions = new Questions();
  private readonly link: Link;
  private readonly outbox: Outbox;
  private readonly url: () => string;
  /** An answer is wanted. */
  private readonly wanted: () => void;

  constructor(link: Link, outbox: Outbox, url: () => string, wanted: () => void) {
    this.link = link;
    this.outbox = outbox;
    this.url = url;
    this.wanted = wanted;
  }

  /** Run a command. A bus that is busy is asked again after the pause that it names, on the same connection. */
  async ask(command: string, args: object, how: Asking = {}): Promise<Message> {
    const until = Date.now() + (how.patienceMs ?? how.timeoutMs ?? COMMAND_TIMEOUT_MS);
    const { connection } = this.link;
    for (;;) {
      try {
        return await this.answerTo({ type: "command", command, args, v: 1 }, command, how);
      } catch (wrong) {
        const pause = isOurs(wrong) ? wrong.retryAfterMs * (1 + Math.random()) : 0;
        if (pause === 0 || Date.now() + pause > until) throw wrong;
        await this.aborted<void>(how.signal, (resolve) => void setTimeout(resolve, pause));
        if (this.link.connection !== connection) throw wrong; // who redials has begun anew
      }
    }
  }

  /** Send a frame with an id of its own and wait for what answers it. */
  async answerTo(frame: object, what: string, how: Asking = {}): Promise<Message> {
    const timeoutMs = how.timeoutMs ?? COMMAND_TIMEOUT_MS;
    const { id, answer } = this.questions.ask();
    this.wanted();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const asked = Date.now();
      const look = (): void => {
        const left = this.heard(asked, how.patienceMs !== undefined) + timeoutMs - Date.now();
        if (left > 0) timer = setTimeout(look, left);
        else reject(noAnswer(this.url(), what, timeoutMs));
      };
      timer = setTimeout(look, timeoutMs);
    });
    const given = { up: false };
    try {
      const text = JSON.stringify({ ...frame, id, ...(how.byAnyone ? { correlation_id: id } : {}) });
      const message = await this.aborted<Message>(how.signal, (resolve, reject) => {
        this.outbox.send(text, given).catch(reject);
        answer.then(resolve, reject);
        late.catch(reject);
      });
      if (message.type === "error") throw toldError((message.frame as ErrorFrame).payload);
      return message;
    } finally {
      given.up = true; // what still waits to be sent is asked by nobody any more
      clearTimeout(timer);
      this.questions.forget(id);
    }
  }

  /** When it was asked, or anything heard since; who does not read cannot hear. */
  private heard(asked: number, patient: boolean): number {
    const { connection } = this.link;
    if (!patient || connection === undefined || Date.now() - asked > ANSWER_MAX_MS) return asked;
    return connection.listening ? Math.max(asked, connection.heardAt) : Date.now();
  }

  private aborted<T>(
    signal: AbortSignal | undefined,
    begin: (resolve: (value: T) => void, reject: (wrong: unknown) => void) => void,
  ): Promise<T> {
    let abort = (): void => undefined;
    const done = new Promise<T>((resolve, reject) => {
      abort = () => reject(new ArqonError("bus.closed", `what was asked of ${this.url()} was given up`));
      if (signal?.aborted) abort();
      else begin(resolve, reject);
    });
    signal?.addEventListener("abort", abort);
    return done.finally(() => signal?.removeEventListener("abort", abort));
  }
}
