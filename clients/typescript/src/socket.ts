import { ended, isOurs, noWelcome, notABus, unreachable, type ArqonError } from "./errors.js";

export const SUBPROTOCOL = "arqon.v1";
/** Unsent bytes above which a sender waits. */
export const WRITE_HIGH_BYTES = 1 << 20;

/** How long an error before the handshake is done may stay alone. */
const CLOSE_FOLLOWS_MS = 100;
/** Of what a refusal says; the rest is not read. */
const BODY_MAX = 4_096;

/** The part of Node's http.IncomingMessage that is used. */
export interface HttpResponse {
  statusCode: number;
  setEncoding(encoding: "utf8"): unknown;
  on(event: "data" | "close", listener: (part: string) => void): unknown;
}

/** The part of a WebSocket that is used; the browser's, Node's and that of the `ws` package all fit. */
export interface WebSocketLike {
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  /** Where the socket can be read more slowly (`ws`): stop, and go on. */
  pause?(): void;
  resume?(): void;
  /** Told of a handshake that was answered with an HTTP status (`ws`). */
  on?(event: "unexpected-response", listener: (request: { destroy(): void }, response: HttpResponse) => void): unknown;
  /** Gone at once (`ws`). */
  terminate?(): void;
}

/** Makes a socket; `token` is empty when there is none. */
export type WebSocketFactory = (url: string, protocols: string[], token: string) => WebSocketLike | Promise<WebSocketLike>;

/**
 * The global WebSocket where there is one (browsers, Node 22), with the token in the URL, as it takes no headers; else
 * the package `ws`, with the token in the Authorization header.
 */
export const defaultWebSocket: WebSocketFactory = async (url, protocols, token) => {
  if (typeof globalThis.WebSocket === "function") {
    return new globalThis.WebSocket(withToken(url, token), protocols) as unknown as WebSocketLike;
  }
  const name = "ws"; // not a literal below, so that bundlers for browsers do not look for it
  let ws: { WebSocket: new (url: string, protocols: string[], options: object) => WebSocketLike };
  try {
    ws = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as typeof ws;
  } catch {
    throw unreachable(url, "this JavaScript has no WebSocket; install the package ws (npm install ws), or use Node 22");
  }
  return new ws.WebSocket(url, protocols, token === "" ? {} : { headers: { Authorization: `Bearer ${token}` } });
};

function withToken(url: string, token: string): string {
  if (token === "") return url;
  const whole = new URL(url);
  whole.searchParams.set("access_token", token);
  return whole.toString();
}

export interface Owner {
  received(connection: Connection, text: string): void;
  lost(connection: Connection, why: string): void;
}

/** One WebSocket to a bus, and the watch over whether anybody is there. After `lost` it is of no more use. */
export class Connection {
  /** Of the last heartbeat that was needed. */
  heardAt = Date.now();
  /** Whether the handshake is done. */
  private open = false;
  private readonly socket: WebSocketLike;
  private readonly owner: Owner;
  private gone = false;
  private paused = false;

  private constructor(socket: WebSocketLike, owner: Owner) {
    this.socket = socket;
    this.owner = owner;
  }

  /** Connect and shake hands. Rejects with what is wrong, naming `url`. */
  static async open(
    owner: Owner,
    url: string,
    token: string,
    factory: WebSocketFactory,
    timeoutMs: number,
  ): Promise<Connection> {
    const shown = url.split("?")[0] as string;
    let socket: WebSocketLike;
    try {
      socket = await factory(url, [SUBPROTOCOL], token);
    } catch (wrong) {
      throw isOurs(wrong) ? wrong : unreachable(shown, String(wrong));
    }
    const connection = new Connection(socket, owner);
    let said = "";
    return new Promise<Connection>((resolve, reject) => {
      const timer = setTimeout(() => {
        connection.hangUp();
        reject(noWelcome(shown, timeoutMs));
      }, timeoutMs);
      socket.onmessage = ((event: { data: unknown }) => connection.received(event.data)) as never;
      socket.onopen = (() => {
        clearTimeout(timer);
        connection.open = true;
        resolve(connection);
      }) as never;
      let failed: ReturnType<typeof setTimeout> | undefined;
      socket.onerror = ((event: { message?: string }) => {
        said = event.message ?? said;
        // Node's own says no more than this of a handshake that failed; the others close
        if (!connection.open) failed ??= setTimeout(() => socket.onclose?.({} as never), CLOSE_FOLLOWS_MS);
      }) as never;
      socket.onclose = ((event: { code?: number; reason?: string }) => {
        clearTimeout(timer);
        clearTimeout(failed);
        connection.closed(event.code ?? 1006, event.reason ?? "");
        const status = /response: (\d{3})/.exec(said)?.[1]; // what `ws` says
        const why = said || "connection refused";
        if (status !== undefined) reject(notABus(shown, Number(status)));
        else void refusal(url, token, shown, why).then(reject);
      }) as never;
      socket.on?.("unexpected-response", (request, response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (part) => (body = (body + part).slice(0, BODY_MAX)));
        response.on("close", () => {
          clearTimeout(timer);
          connection.closed(1006, "");
          reject(notABus(shown, response.statusCode, body));
          request.destroy();
        });
      });
    });
  }

  get canWrite(): boolean {
    return this.socket.bufferedAmount < WRITE_HIGH_BYTES;
  }

  /** Whether this socket can be read more slowly. */
  get canPause(): boolean {
    return typeof this.socket.pause === "function" && typeof this.socket.resume === "function";
  }

  send(text: string): void {
    this.socket.send(text);
  }

  read(wanted: boolean): void {
    if (wanted !== this.paused || this.gone || !this.canPause) return;
    this.paused = !wanted;
    if (wanted) {
      this.heardAt = Date.now();
      this.socket.resume?.();
    } else {
      this.socket.pause?.();
    }
  }

  /** Who does not read cannot hear. */
  get listening(): boolean {
    return !this.paused;
  }

  /** Gone at once; nobody is told. */
  hangUp(): void {
    if (this.gone) return;
    this.gone = true;
    if (this.socket.terminate !== undefined) this.socket.terminate();
    else this.socket.close(1000);
  }

  /** Say goodbye, and wait a while for the other end to have heard it. */
  async close(withinMs: number): Promise<void> {
    if (this.gone) return;
    this.read(true);
    this.gone = true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.socket.terminate?.();
        resolve();
      }, withinMs);
      this.socket.onclose = (() => {
        clearTimeout(timer);
        resolve();
      }) as never;
      this.socket.close(1000);
    });
  }

  private received(data: unknown): void {
    if (this.gone) return;
    this.heardAt = Date.now();
    if (typeof data === "string") this.owner.received(this, data);
  }

  private closed(code: number, reason: string): void {
    if (this.gone) return;
    this.gone = true;
    this.owner.lost(this, code === 1006 ? "connection lost" : `closed with ${code} ${reason}`.trim());
  }
}

/** A browser does not say why a handshake failed; the same address, asked over HTTP, may. */
async function refusal(url: string, token: string, shown: string, why: string): Promise<ArqonError> {
  try {
    const answer = await fetch(withToken(url, token).replace(/^ws/, "http"), { signal: AbortSignal.timeout(2_000) });
    if (answer.status !== 426 && answer.status !== 503) return notABus(shown, answer.status, (await answer.text()).slice(0, BODY_MAX));
    return ended(shown, "it took the connection and ended it at once");
  } catch {
    return unreachable(shown, why);
  }
}
