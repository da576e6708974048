import { Channel, type Check } from "./channel.js";
import { COMMAND_TIMEOUT_MS, type Asking } from "./commands.js";
import { Endpoints } from "./endpoints.js";
import { ArqonError, isOurs, nobodyAnswered, toldError } from "./errors.js";
import { guarded, type Handler } from "./mailboxes.js";
import { Message } from "./message.js";
import type { Received } from "./frames.generated.js";
import type { Gap, Position, Resumed } from "./resume.js";
import { Session, type State } from "./session.js";
import { defaultWebSocket, type WebSocketFactory } from "./socket.js";
import type { TokenSource } from "./token.js";

export interface ConnectOptions {
  /** A bearer token, or a function that is asked for one whenever the client connects. */
  token?: TokenSource;
  /** What others see of this client. */
  name?: string;
  /** human, dashboard, ai-agent, service ... */
  kind?: string;
  /** Dial again for as long as it takes when the connection is lost. Default: true. */
  reconnect?: boolean;
  /** Silence after which the other end is asked whether it is there. Default: 20 s. */
  heartbeatMs?: number;
  /** Where sockets come from; by default the global WebSocket, else the package `ws`. */
  webSocket?: WebSocketFactory;
}

export interface SendOptions {
  metadata?: Record<string, unknown>;
  timeoutMs?: number;
}

/** The bus has taken it: its id, and to how many clients of that node it went. */
export interface Receipt {
  id: string;
  delivered: number;
}

/** Someone in a channel. */
export interface Member {
  client_id: string;
  name?: string;
  type?: string;
  since?: string;
}

/** Somebody joined or left a channel. */
export interface Presence {
  event: "joined" | "left";
  client_id: string;
  members?: number;
  name?: string;
  type?: string;
}

/** Part of a channel's history, oldest first. */
export interface Page {
  messages: Message[];
  /** There are others that fit the question; with `since` later ones, else older ones. */
  more: boolean;
  /** Where the channel stood; and, asked from a position, where nobody can tell whether there was anything. */
  position: Position;
  gaps: Gap[];
}

export interface HistoryBounds {
  limit?: number;
  /** Milliseconds since 1970, ISO 8601, or a position. */
  since?: number | string | Position;
  before?: number | string;
}

/** Connect to a bus: the URL of a node, or of several nodes of one cluster, tried in this order. */
export function connect(url: string | readonly string[], options: ConnectOptions = {}): Promise<BusClient> {
  return BusClient.connect(url, options);
}

/** A client of the bus. Every promise rejects with an `ArqonError`. */
export class BusClient {
  private readonly session: Session;
  private readonly onResumes = new Set<Handler<Resumed>>();
  private readonly onStates = new Set<Handler<State>>();
  private readonly ending: Promise<void>;

  private constructor(session: Session) {
    this.session = session;
    session.resumed = (resumed) => this.onResumes.forEach((handler) => guarded(() => handler(resumed)));
    this.ending = new Promise((resolve, reject) => {
      session.changed = (state) => {
        this.onStates.forEach((handler) => guarded(() => handler(state)));
        if (state !== "closed") return;
        if (session.failure === undefined) resolve();
        else reject(session.failure);
      };
    });
    this.ending.catch(() => undefined); // who wants to know asks `closed`
  }

  static async connect(url: string | readonly string[], options: ConnectOptions = {}): Promise<BusClient> {
    const endpoints = new Endpoints(url, { name: options.name ?? "", type: options.kind ?? "" });
    const client = new BusClient(
      new Session(endpoints, {
        token: options.token,
        reconnect: options.reconnect ?? true,
        heartbeatMs: options.heartbeatMs ?? 20_000,
        webSocket: options.webSocket ?? defaultWebSocket,
      }),
    );
    await client.session.start();
    return client;
  }

  /** The node's address that is, or will be, connected to. */
  get url(): string {
    return this.session.endpoints.current;
  }

  /** As the bus named this connection; another one after a reconnect. */
  get clientId(): string {
    return this.session.clientId;
  }

  get state(): State {
    return this.session.state;
  }

  get reconnects(): number {
    return this.session.reconnects;
  }

  /** Resolves when `close` was called, rejects when the connection is lost for good. */
  get closed(): Promise<void> {
    return this.ending;
  }

  // --- publishing --------------------------------------------------------------------------------------------

  /** Publish any JSON value. Waits while the connection is backed up, or being dialled again. */
  publish(channel: string, payload: unknown, options: SendOptions = {}): Promise<void> {
    return this.session.send(event(channel, payload, options.metadata));
  }

  /** Publish, and wait until the bus has it. */
  async send(channel: string, payload: unknown, options: SendOptions = {}): Promise<Receipt> {
    const frame = event(channel, payload, { ...options.metadata, ack: true });
    const answer = await this.session.commands.answerTo(frame, `an event on ${channel}`, within(options));
    const told = answer.payload as Partial<Receipt>;
    return { id: told.id ?? "", delivered: told.delivered ?? 0 };
  }

  /** Send to these clients alone. */
  private(to: string | string[], payload: unknown): Promise<void> {
    return this.session.send({ type: "private", to: typeof to === "string" ? [to] : to, payload, v: 1 });
  }

  /** Wait until the bus has taken everything that was sent before. */
  async flush(): Promise<void> {
    await this.command("ping");
  }

  // --- request and answer ------------------------------------------------------------------------------------

  /** Ask a client (by its id), or whoever answers first in a channel. */
  async request<Body = unknown>(target: string, payload: unknown, options: SendOptions = {}): Promise<Message<Body>> {
    const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS;
    const where = target.includes(":") ? { type: "event", channel: target } : { type: "private", to: [target] };
    let answer: Message;
    try {
      answer = await this.session.commands.answerTo({ ...where, payload, v: 1 }, "a request", { timeoutMs, byAnyone: true });
    } catch (wrong) {
      throw isOurs(wrong) && wrong.code === "bus.timeout" ? nobodyAnswered(target, timeoutMs) : wrong;
    }
    const error = answer.metadata["error"];
    if (error !== undefined) throw toldError(error, (message) => `${target} could not answer: ${message}`);
    return answer as Message<Body>;
  }

  /** Answer whoever asked. */
  answer(question: Message, payload: unknown, options: SendOptions = {}): Promise<void> {
    return this.session.send({
      type: "private",
      to: [question.from],
      payload: payload ?? null,
      correlation_id: question.correlationId,
      ...(options.metadata === undefined ? {} : { metadata: options.metadata }),
      v: 1,
    });
  }

  /** Answer each request to this client, or in a channel, with what `handler` returns; what it throws is the asker's. */
  onRequest(handler: (question: Message) => unknown, channel = "private"): () => void {
    return this.on(channel, async (question) => {
      if (question.correlationId === "") return;
      let payload: unknown;
      try {
        payload = await handler(question);
      } catch (wrong) {
        const { code, hint } = isOurs(wrong) ? wrong : new ArqonError("bus.request-failed", "");
        const message = wrong instanceof Error ? wrong.message : String(wrong);
        return this.answer(question, null, { metadata: { error: { code, message, hint } } });
      }
      return this.answer(question, payload);
    });
  }

  // --- receiving ---------------------------------------------------------------------------------------------

  /** Subscribe to `room:channel`, `room:*` or `*`; with `since`, a `position`, from there on. */
  async join(channel: string, options: { since?: Position } = {}): Promise<Resumed> {
    return this.session.subscriptions.join(channel, options.since);
  }

  async leave(channel: string): Promise<void> {
    this.session.subscriptions.leave(channel);
    await this.command("leave_channel", { channel });
  }

  /** Call `handler` with each message of a channel or pattern, or `private`, or `notice`. The result ends it. */
  on(what: string, handler: Handler): () => void {
    return this.session.handlers.add(what, handler);
  }

  /** What was published, as it comes; or only what `on` would take under this name. */
  messages(what = ""): AsyncIterableIterator<Message> {
    return this.session.open(what);
  }

  /** A channel whose payloads are all of one type. */
  channel<Body>(name: string, check?: Check<Body>): Channel<Body> {
    return new Channel<Body>(this, name, check);
  }

  /** Call `handler` when somebody joins or leaves a channel that this client is in. */
  onPresence(handler: (presence: Presence, message: Message) => void): () => void {
    return this.on("notice", (message) => {
      const told = message.payload as Presence | null;
      if (told?.event === "joined" || told?.event === "left") handler(told, message);
    });
  }

  /**
   * Call `handler` for each channel that goes on after a reconnect: recovered, or with which gaps. Also with channel
   * `*` when this client read so slowly that its bus dropped something.
   */
  onResume(handler: Handler<Resumed>): () => void {
    this.onResumes.add(handler);
    return () => this.onResumes.delete(handler);
  }

  /** Call `handler` when this becomes connected, reconnecting or closed. */
  onState(handler: Handler<State>): () => void {
    this.onStates.add(handler);
    return () => this.onStates.delete(handler);
  }

  /** What was received of a channel; to be kept, and given to `join` by the next process. */
  position(channel: string): Position {
    return this.session.subscriptions.positions.of(channel);
  }

  // --- commands ----------------------------------------------------------------------------------------------

  /** Run a command of the bus; `help` lists them. */
  command(name: string, args: object = {}, options: { timeoutMs?: number } = {}): Promise<Message> {
    return this.session.commands.ask(name, args, within(options));
  }

  async history(channel: string, bounds: HistoryBounds = {}): Promise<Page> {
    const answer = await this.command("history", { channel, ...bounds });
    const { messages, more = false, position = {}, gaps = [] } = answer.payload as Omit<Partial<Page>, "messages"> & { messages: Received[] };
    return { messages: messages.map((frame) => new Message(frame)), more, position, gaps };
  }

  /** Who is in a channel now. */
  async presence(channel: string): Promise<Member[]> {
    const answer = await this.command("channel_info", { channel });
    return (answer.payload as { channel: { members?: Member[] } }).channel.members ?? [];
  }

  /** Show a new token on this connection; by default what the token source gives now. */
  async reauthenticate(token?: string): Promise<void> {
    await this.command("authenticate", { token: token ?? (await this.session.token.present()) });
  }

  /** Say goodbye; iterators end. Repeats are harmless. */
  close(): Promise<void> {
    return this.session.close();
  }
}

const within = ({ timeoutMs }: { timeoutMs?: number }): Asking => (timeoutMs === undefined ? {} : { timeoutMs });

function event(channel: string, payload: unknown, metadata: Record<string, unknown> | undefined): object {
  const frame = { type: "event", channel, payload: payload ?? null, v: 1 };
  return metadata === undefined ? frame : { ...frame, metadata };
}
