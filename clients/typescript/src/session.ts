import type { Endpoints } from "./endpoints.js";
import { Commands } from "./commands.js";
import { ArqonError, asError, ended, noneOf } from "./errors.js";
import { Link } from "./link.js";
import { Handlers, Mailbox, QUEUE_MAX, isFor } from "./mailboxes.js";
import { CARRIED, type Message } from "./message.js";
import { Outbox } from "./outbox.js";
import type { Resumed } from "./resume.js";
import type { Connection, WebSocketFactory } from "./socket.js";
import { Subscriptions } from "./subscriptions.js";
import { Token, type TokenSource } from "./token.js";

export type State = "connected" | "reconnecting" | "closed";

export const CLOSE_TIMEOUT_MS = 5_000;
/** How long a bus that is busy is asked again on the same connection, for what the client itself wants of it. */
const BUSY_PATIENCE_MS = 60_000;
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
  readonly commands: Commands;
  clientId = "";
  state: State = "reconnecting";
  reconnects = 0;
  /** Events that came again and were not handed on. */
  duplicates = 0;
  resumed: (resumed: Resumed) => void = () => undefined;
  changed: (state: State) => void = () => undefined;

  readonly token: Token;
  private readonly reconnect: boolean;
  private readonly link: Link;
  private readonly outbox: Outbox;
  private pastIds: string[] = [];
  private boxes = new Map<Mailbox, string>();
  private pause: { timer: ReturnType<typeof setTimeout>; end: () => void } | undefined;
  private redialling = false;
  private closing = false;
  private problem: ArqonError | undefined;

  constructor(endpoints: Endpoints, options: SessionOptions) {
    this.endpoints = endpoints;
    this.reconnect = options.reconnect;
    this.token = new Token(options.token);
    this.link = new Link(this, endpoints, this.token, options.webSocket, options.heartbeatMs);
    this.outbox = new Outbox(
      () => this.link.connection,
      () => endpoints.current,
    );
    this.commands = new Commands(
      this.link,
      this.outbox,
      () => endpoints.current,
      () => this.roomAgain(),
    );
    this.subscriptions = new Subscriptions(
      endpoints,
      (command, args, signal) => this.commands.ask(command, args, { patienceMs: BUSY_PATIENCE_MS, signal }),
      (message) => this.take(message),
      (one) => this.resumed(one),
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
    return this.outbox.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  ping(withinMs: number): Promise<unknown> {
    return this.commands.ask("ping", {}, { timeoutMs: withinMs });
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

  async close(): Promise<void> {
    this.closing = true;
    this.problem ??= new ArqonError("bus.closed", "this client was closed");
    const connection = this.link.letGo();
    this.pause?.end();
    await connection?.close(CLOSE_TIMEOUT_MS);
    this.over(this.problem);
  }

  // --- from the connection -----------------------------------------------------------------------------------

  received(message: Message): void {
    if (this.commands.questions.answered(message)) return;
    if (message.type === "event" || message.type === "telemetry") {
      if (!this.subscriptions.catchUp.holds(message)) this.take(message);
      return;
    }
    const said = message.payload as { event?: unknown; code?: unknown; dropped?: number; expires?: string; retry_after_ms?: unknown } | null;
    if (message.type === "system") this.notice(said);
    else if (message.type === "error" && said?.code === "bus.rate-limited") this.subscriptions.tooFast(said.retry_after_ms);
    this.handOn(message);
  }

  lost(why: string): void {
    const problem = ended(this.endpoints.current, why);
    this.commands.questions.fail(problem);
    this.subscriptions.refill.stop();
    if (this.redialling || this.closing) return; // it sees for itself, and goes on to the next node
    this.endpoints.lost(Date.now() - this.link.since);
    if (this.reconnect) {
      this.become("reconnecting");
      void this.dialAgain();
    } else {
      this.over(problem);
    }
  }

  /** What the bus says by itself and concerns the connection. */
  private notice(said: { event?: unknown; dropped?: number; expires?: string } | null): void {
    if (said?.event === "gap") {
      this.subscriptions.dropped(said.dropped ?? 0); // its policy for slow clients dropped something of ours
    } else if (said?.event === "expiring" && this.token.renews) {
      this.token
        .present()
        .then((token) => this.commands.ask("authenticate", { token }))
        .catch((wrong: unknown) => console.error("the token ends soon, and no newer one was taken:", wrong));
    } else if (said?.event === "expiring") {
      console.warn(`this client's token ends at ${said.expires}, and nothing gives it a newer one`);
    }
  }

  /** An event, in its place among the others of its channel. false when it came before, or is our own. */
  private take(message: Message): boolean {
    if (!this.subscriptions.positions.advance(message.channel, message)) {
      this.duplicates += 1;
      return false;
    }
    const ours = message.from === this.clientId || this.pastIds.includes(message.from);
    if (ours && message.metadata["echo"] !== true) return false; // from the history; nobody is sent live what it published
    this.handOn(message);
    return true;
  }

  private handOn(message: Message): void {
    this.handlers.call(message);
    for (const [box, what] of this.boxes) {
      if (what === "" ? !CARRIED.has(message.type) : !isFor(what, message)) continue;
      box.put(message);
      const { connection } = this.link;
      if (box.held.length >= QUEUE_MAX && connection !== undefined) this.holdBack(connection, box);
    }
  }

  // --- connecting --------------------------------------------------------------------------------------------

  private async dial(): Promise<void> {
    await this.link.dial();
    if (this.closing) {
      this.link.letGo()?.hangUp();
      throw this.problem as ArqonError;
    }
    if (this.clientId !== "") this.pastIds = [...this.pastIds, this.clientId].slice(-PAST_IDS_MAX);
    this.clientId = this.link.clientId;
    this.subscriptions.positions.connected(this.link.node);
    this.outbox.wake();
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
        if (this.link.connection !== undefined) {
          this.redialling = false;
          this.reconnects += 1;
          this.become("connected");
          resumed.forEach((one) => this.resumed(one));
          return;
        }
      } catch (wrong) {
        const failure = asError(wrong);
        if (failure.denied && (!this.token.renews || (denials += 1) >= DENIALS_MAX)) {
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
    this.subscriptions.refill.stop();
    const connection = this.link.letGo();
    if (connection === undefined) return;
    connection.hangUp();
    this.commands.questions.fail(ended(this.endpoints.current, "connection given up"));
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

  private holdBack(connection: Connection, box: Mailbox): void {
    if (connection.canPause && (this.commands.questions.size === 0 || box.held.length >= 4 * QUEUE_MAX)) connection.read(false);
    else if (!connection.canPause && box.held.length >= QUEUE_MAX) box.overflow();
  }

  private roomAgain(): void {
    let fullest = 0;
    for (const box of this.boxes.keys()) fullest = Math.max(fullest, box.held.length);
    if (fullest <= QUEUE_MAX / 2 || (this.commands.questions.size > 0 && fullest < 4 * QUEUE_MAX)) this.link.connection?.read(true);
  }

  private become(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.changed(state);
  }

  private over(problem: ArqonError): void {
    this.problem ??= problem;
    this.link.letGo();
    this.subscriptions.refill.stop();
    this.commands.questions.fail(problem);
    for (const box of this.boxes.keys()) box.end(this.failure);
    this.boxes.clear();
    this.outbox.end(problem);
    this.become("closed");
  }
}
