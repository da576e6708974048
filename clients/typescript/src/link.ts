import type { Endpoints } from "./endpoints.js";
import { ended, notABus, noWelcome, telemetryInstead, type ArqonError } from "./errors.js";
import { read, type Message } from "./message.js";
import { Connection, type WebSocketFactory } from "./socket.js";
import type { Token } from "./token.js";

export const CONNECT_TIMEOUT_MS = 5_000;

/** Who hears what comes. */
export interface Owner {
  received(message: Message): void;
  lost(why: string): void;
  /** Ask the bus for a sign of life; rejects when there is none in time. */
  ping(withinMs: number): Promise<unknown>;
}

/** Why a page was not let in: closed before its welcome with 4000 + the HTTP status, and `CODE: SENTENCE`. */
function refusedWith(url: string, why: string): ArqonError | undefined {
  const [, status, code, message] = /^closed with 4(\d{3}) (bus\.[a-z-]+): (.*)$/s.exec(why) ?? [];
  if (status === undefined) return undefined;
  return notABus(url, Number(status), JSON.stringify({ error: { code, message, hint: "" } }));
}

/** One connection at a time to whichever node takes this client: dialled, welcomed, watched and given up. */
export class Link {
  /** undefined while there is none that was welcomed. */
  connection: Connection | undefined;
  /** When it was welcomed. */
  since = 0;
  clientId = "";
  /** The id of the node at the other end. */
  node = "";
  private readonly owner: Owner;
  private readonly endpoints: Endpoints;
  private readonly token: Token;
  private readonly webSocket: WebSocketFactory;
  private readonly heartbeatMs: number;
  private heartbeat: ReturnType<typeof setInterval> | undefined;
  private welcomed: ((why: string) => void) | undefined;
  private elsewhere: (() => void) | undefined;

  constructor(owner: Owner, endpoints: Endpoints, token: Token, webSocket: WebSocketFactory, heartbeatMs: number) {
    this.owner = owner;
    this.endpoints = endpoints;
    this.token = token;
    this.webSocket = webSocket;
    this.heartbeatMs = heartbeatMs;
  }

  /** Connect to the current node and wait for its welcome. */
  async dial(): Promise<void> {
    const token = await this.token.present();
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
      connection = await Connection.open(this, this.endpoints.target(), token, this.webSocket, CONNECT_TIMEOUT_MS);
      const late = new Promise<string>((_, reject) => {
        timer = setTimeout(() => reject(noWelcome(url, CONNECT_TIMEOUT_MS)), CONNECT_TIMEOUT_MS);
      });
      const why = await Promise.race([welcome, late]);
      if (why !== "") throw refusedWith(url, why) ?? ended(url, why);
    } catch (wrong) {
      connection?.hangUp();
      throw wrong;
    } finally {
      clearTimeout(timer);
      this.welcomed = this.elsewhere = undefined;
    }
    this.connection = connection;
    this.since = Date.now();
    this.watch(connection);
  }

  /** Take the connection away from here; undefined when there is none. */
  letGo(): Connection | undefined {
    const connection = this.connection;
    this.connection = undefined;
    clearInterval(this.heartbeat);
    return connection;
  }

  // --- from the connection -----------------------------------------------------------------------------------

  received(_connection: Connection, text: string): void {
    const message = read(text);
    if (message === undefined) return;
    if (this.welcomed !== undefined) {
      const payload = message.payload as { welcome?: string; client_id?: string; node?: string } | null;
      if (message.type === "system" && payload?.welcome !== undefined) {
        this.clientId = payload.client_id ?? "";
        this.node = payload.node ?? "";
        this.welcomed("");
        return;
      }
      if ((message.type as string) === "welcome") this.elsewhere?.(); // how the telemetry of a node greets
    }
    this.owner.received(message);
  }

  lost(connection: Connection, why: string): void {
    if (this.welcomed !== undefined) {
      this.welcomed(why);
    } else if (connection === this.connection) {
      this.letGo();
      this.owner.lost(why);
    } // else given up before
  }

  /** Silence is answered with a ping, and a ping without any answer ends the connection (half-open). */
  private watch(connection: Connection): void {
    const every = this.heartbeatMs;
    let pinged = false;
    clearInterval(this.heartbeat);
    this.heartbeat = setInterval(() => {
      if (connection !== this.connection) return;
      if (!connection.listening || Date.now() - connection.heardAt < every) {
        pinged = false;
      } else if (!pinged) {
        pinged = true;
        this.owner.ping(every).catch(() => undefined);
      } else {
        connection.hangUp();
        this.lost(connection, `no answer to a ping within ${every / 1000} s`);
      }
    }, every);
  }
}
