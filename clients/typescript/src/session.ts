import type { Endpoints } from "./endpoints.js";
import { ArqonError, ended, noAnswer, noWelcome, noneOf, telemetryInstead, toldError } from "./errors.js";
import type { ErrorFrame } from "./frames.generated.js";
import { Handlers, Mailbox, QUEUE_MAX, isFor } from "./mailboxes.js";
import { CARRIED, read, type Message } from "./message.js";
import type { Resumed } from "./positions.js";
import { Questions } from "./questions.js";
import { Connection, isOurs, type WebSocketFactory } from "./socket.js";
import { Subscriptions } from "./subscriptions.js";

export type State = "connected" | "reconnecting" | "closed";
/** A token, or a function that is asked for one whenever the client connects. */
export type TokenSource = string | (() => string | undefined | Promise<string | undefined>);

export const CONNECT_TIMEOUT_MS = 5_000;
export const COMMAND_TIMEOUT_MS = 10_000;
export const CLOSE_TIMEOUT_MS = 5_000;
/** Sends that may wait for a connection, or for it to take more; beyond, `bus.buffer-full`. */
export const SENDS_WAITING_MAX = 10_000;
/** Refused tokens in a row after which a token source is asked no more. */
const DENIALS_MAX = 3;
const PAST_IDS_MAX = 64;

export interface SessionOptions {
  token: TokenSource | undefined;
  reconnect: boolean;
  heartbeatMs: number;
  webSocket: WebSocketFactory;
}

/**
 * What is behind a BusClient: one connection at a time, replaced when it is lost, with what was joined and what was
 * seen. While it reconnects, who sends waits; commands that were under way fail, as nobody knows whether they were run.
 */
export class Session {
  readonly endpoints: Endpoints;
  readonly subscriptions: Subscriptions;
  readonly handlers = new Handlers();
  readonly questions = new Questions();
  clientId = "";
  state: State = "reconnecting";
  reconnects = 0;
  /** Events that came again and were not handed on. */
  duplicates = 0;
  resumed: (resumed: Resumed) => void = () => undefined;
  changed: (state: State) => void = () => undefined;

  private readonly options: SessionOptions;
  private connection: Connection | undefined;
  private welcomed: ((why: string) => void) | undefined;
  private elsewhere: (() => void) | undefined;
  private since = 0;
  private pastIds: string[] = [];
  private boxes = new Map<Mailbox, string>();
  private waiting: (() => void)[] = [];
  private heartbeat: ReturnType<typeof setInterval> | undefined;
  private drain: ReturnType<typeof setTimeout> | undefined;
  private pause: { timer: ReturnType<typeof setTimeout>; end: () => void } | undefined;
  private redialling = false;
  private closing = false;
  private problem: ArqonError | undefined;

  constructor(endpoints: Endpoints, options: SessionOptions) {
    this.endpoints = endpoints;
    this.options = options;
    this.subscriptions = new Subscriptions(
      endpoints,
      (command, args) => this.ask(command, args),
      (message) => this.take(message),
    );
  }

  /** What ended it, unless `close` did. */
  get failure(): ArqonError | undefined {
    return this.closing ? undefined : this.problem;
  }

  /** Connect to the first node that takes this client. */
  async start(): Promise<void> {
    const failures: ArqonError[] = [];
    for (const _ of this.endpoints.urls) {
      try {
        await this.dial();
        this.become("connected");
        return;
      } catch (failure) {
        this.drop();
        this.endpoints.failed();
        failures.push(asError(failure));
      }
    }
    throw noneOf(failures);
  }

  /** Send one frame; waits while the connection is backed up or being replaced. */
  async send(frame: object | string): Promise<void> {
    const text = typeof frame === "string" ? frame : JSON.stringify(frame);
    for (;;) {
      if (this.problem !== undefined) throw this.problem;
      if (this.connection?.canWrite) {
        this.connection.send(text);
        return;
      }
      if (this.waiting.length >= SENDS_WAITING_MAX) {
        throw new ArqonError(
          "bus.buffer-full",
          `${this.waiting.length} messages wait to be sent to ${this.endpoints.current}`,
          "await each publish, or send less while the state is not connected",
        );
      }
      if (this.connection !== undefined) this.lookAgain();
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  async ask(command: string, args: object, timeoutMs = COMMAND_TIMEOUT_MS): Promise<Message> {
    return this.answerTo({ type: "command", command, args, v: 1 }, command, timeoutMs);
  }

  /** Send a frame with an id of its own and wait for what answers it: the bus, or `byAnyone` a client. */
  async answerTo(frame: object, what: string, timeoutMs: number, byAnyone = false): Promise<Message> {
    const { id, answer } = this.questions.ask();
    this.roomAgain();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(noAnswer(this.endpoints.current, what, timeoutMs)), timeoutMs);
    });
    try {
      const sent = this.send({ ...frame, id, ...(byAnyone ? { correlation_id: id } : {}) });
      const message = await Promise.race([sent.then(() => answer), late]);
      if (message.type === "error") throw toldError((message.frame as ErrorFrame).payload);
      return message;
    } finally {
      clearTimeout(timer);
      this.questions.forget(id);
    }
  }

  /** An iterator over what is taken under a name of `isFor`; empty: over everything that was published. */
  open(what: string): Mailbox {
    const box = new Mailbox(
      () => this.roomAgain(),
      (done) => this.boxes.delete(done),
    );
    if (this.state === "closed") box.end(this.failure);
    else this.boxes.set(box, what);
    return box;
  }

  /** The token as it is now, from its source. */
  async presentToken(): Promise<string> {
    const { token } = this.options;
    if (typeof token !== "function") return token ?? "";
    try {
      return (await token()) ?? "";
    } catch (wrong) {
      throw isOurs(wrong)
        ? wrong
        : new ArqonError("bus.token-source", `the function that gives the token failed: ${String(wrong)}`);
    }
  }

  async close(): Promise<void> {
    this.closing = true;
    this.problem ??= new ArqonError("bus.closed", "this client was closed");
    const connection = this.connection;
    this.connection = undefined;
    this.pause?.end();
    await connection?.close(CLOSE_TIMEOUT_MS);
    this.over(this.problem);
  }

  // --- from the connection -----------------------------------------------------------------------------------

  received(_connection: Connection, text: string): void {
    const message = read(text);
    if (message === undefined || this.questions.answered(message)) return;
    if (message.type === "event" || message.type === "telemetry") {
      if (!this.subscriptions.holds(message)) this.take(message);
      return;
    }
    if (this.welcomed !== undefined) {
      const payload = message.payload as { welcome?: string; client_id?: string } | null;
      if (payload?.welcome !== undefined) {
        if (this.clientId !== "") this.pastIds = [...this.pastIds, this.clientId].slice(-PAST_IDS_MAX);
        this.clientId = payload.client_id ?? "";
        this.welcomed("");
        return;
      }
      if ((message.type as string) === "welcome") this.elsewhere?.(); // how the telemetry of a node greets
    }
    if (message.type === "system") this.notice((message.payload as { event?: unknown } | null)?.event);
    else if (message.type === "error" && (message.payload as { code?: unknown } | null)?.code === "bus.rate-limited") {
      this.subscriptions.tooFast();
    }
    this.handOn(message);
  }

  lost(connection: Connection, why: string): void {
    if (this.welcomed !== undefined) {
      this.welcomed(why);
      return;
    }
    if (connection !== this.connection) return; // given up before
    this.connection = undefined;
    clearInterval(this.heartbeat);
    const problem = ended(this.endpoints.current, why);
    this.questions.fail(problem);
    if (this.redialling || this.closing) return; // it sees for itself, and goes on to the next node
    this.endpoints.lost(Date.now() - this.since);
    if (this.options.reconnect) {
      this.become("reconnecting");
      void this.dialAgain();
    } else {
      this.over(problem);
    }
  }

  /** What the bus says by itself and concerns the connection. */
  private notice(event: unknown): void {
    if (event === "expiring" && typeof this.options.token === "function") {
      this.presentToken()
        .then((token) => this.ask("authenticate", { token }))
        .catch((wrong: unknown) => console.error("the token ends soon, and no newer one was taken:", wrong));
    } else if (event === "gap") {
      // the bus's policy for slow clients dropped something of what waited for this one
      this.resumed({ channel: "*", recovered: false, gaps: [], missed: 0, url: this.endpoints.current });
    }
  }

  /** An event, in its place among the others of its channel. */
  private take(message: Message): void {
    if (!this.subscriptions.positions.advance(message.channel, message)) {
      this.duplicates += 1;
      return;
    }
    // from before the connection was lost, by this client itself
    if (this.pastIds.includes(message.from) && message.metadata["echo"] !== true) return;
    this.handOn(message);
  }

  private handOn(message: Message): void {
    this.handlers.call(message);
    for (const [box, what] of this.boxes) {
      if (what === "" ? !CARRIED.has(message.type) : !isFor(what, message)) continue;
      box.put(message);
      if (box.held.length >= QUEUE_MAX && this.connection !== undefined) this.holdBack(this.connection, box);
    }
  }

  // --- connecting --------------------------------------------------------------------------------------------

  private async dial(): Promise<void> {
    const token = await this.presentToken();
    const url = this.endpoints.current;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const welcome = new Promise<string>((resolve, reject) => {
      this.elsewhere = () => reject(telemetryInstead(url));
      this.welcomed = (why) => {
        this.welcomed = undefined;
        resolve(why);
      };
    });
    welcome.catch(() => undefined); // awaited below, once the handshake is done
    let connection: Connection | undefined;
    try {
      connection = await Connection.open(this, this.endpoints.target(), token, this.options.webSocket, CONNECT_TIMEOUT_MS);
      const late = new Promise<string>((_, reject) => {
        timer = setTimeout(() => reject(noWelcome(url, CONNECT_TIMEOUT_MS)), CONNECT_TIMEOUT_MS);
      });
      const why = await Promise.race([welcome, late]);
      if (why !== "") throw ended(url, why);
    } catch (wrong) {
      connection?.hangUp();
      throw wrong;
    } finally {
      clearTimeout(timer);
      this.welcomed = this.elsewhere = undefined;
    }
    if (this.closing) {
      connection.hangUp();
      throw this.problem as ArqonError;
    }
    this.connection = connection;
    this.since = Date.now();
    this.watch(connection);
    this.wake();
  }

  private async dialAgain(): Promise<void> {
    this.redialling = true;
    let denials = 0;
    while (!this.closing) {
      await this.sleep(this.endpoints.waitMs());
      if (this.closing) break;
      try {
        await this.dial();
        const resumed = await this.subscriptions.joinAgain();
        if (this.connection !== undefined) {
          this.redialling = false;
          this.reconnects += 1;
          this.become("connected");
          resumed.forEach((one) => this.resumed(one));
          return;
        }
      } catch (wrong) {
        const failure = asError(wrong);
        if (failure.denied && (typeof this.options.token !== "function" || (denials += 1) >= DENIALS_MAX)) {
          this.drop();
          this.redialling = false;
          this.over(failure);
          return;
        }
      }
      this.drop(); // a connection without its subscriptions would look like one with nothing to say
      this.endpoints.failed();
    }
    this.redialling = false;
  }

  private drop(): void {
    const connection = this.connection;
    this.connection = undefined;
    clearInterval(this.heartbeat);
    connection?.hangUp();
    this.questions.fail(ended(this.endpoints.current, "connection given up"));
  }

  /** Silence is answered with a ping, and a ping without any answer ends the connection (half-open). */
  private watch(connection: Connection): void {
    const every = this.options.heartbeatMs;
    let pinged = false;
    clearInterval(this.heartbeat);
    this.heartbeat = setInterval(() => {
      if (connection !== this.connection) return;
      if (!connection.listening || Date.now() - connection.heardAt < every) {
        pinged = false;
      } else if (!pinged) {
        pinged = true;
        this.ask("ping", {}, every).catch(() => undefined);
      } else {
        connection.hangUp();
        this.lost(connection, `no answer to a ping within ${every / 1000} s`);
      }
    }, every);
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.pause = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.pause = { timer, end };
    });
  }

  // --- inside ------------------------------------------------------------------------------------------------

  /** Wake those who wait to send, when the socket has taken what it had. No WebSocket has an event for that. */
  private lookAgain(): void {
    this.drain ??= setTimeout(() => {
      this.drain = undefined;
      if (this.connection?.canWrite) this.wake();
      else if (this.waiting.length > 0 && this.connection !== undefined) this.lookAgain();
    }, 5);
  }

  private wake(): void {
    for (const go of this.waiting.splice(0)) go();
  }

  private holdBack(connection: Connection, box: Mailbox): void {
    if (connection.canPause && (this.questions.size === 0 || box.held.length >= 4 * QUEUE_MAX)) connection.read(false);
    else if (!connection.canPause && box.held.length >= QUEUE_MAX) box.overflow();
  }

  private roomAgain(): void {
    let fullest = 0;
    for (const box of this.boxes.keys()) fullest = Math.max(fullest, box.held.length);
    if (fullest <= QUEUE_MAX / 2 || (this.questions.size > 0 && fullest < 4 * QUEUE_MAX)) this.connection?.read(true);
  }

  private become(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.changed(state);
  }

  private over(problem: ArqonError): void {
    this.problem ??= problem;
    clearInterval(this.heartbeat);
    clearTimeout(this.drain);
    this.questions.fail(problem);
    for (const box of this.boxes.keys()) box.end(this.failure);
    this.boxes.clear();
    this.wake();
    this.become("closed");
  }
}

function asError(wrong: unknown): ArqonError {
  return isOurs(wrong) ? wrong : new ArqonError("bus.unreachable", String(wrong));
}
