import type { Received } from "./frames.generated.js";

/** What somebody published has one of these types; the others are what the bus itself says. */
export const CARRIED: ReadonlySet<string> = new Set(["event", "telemetry", "private"]);

/** A frame from the bus. `frame` is the whole of it, fields that this client does not know included. */
export class Message<Body = unknown> {
  readonly frame: Received;

  constructor(frame: Received) {
    this.frame = frame;
  }

  get type(): Received["type"] {
    return this.frame.type;
  }

  get id(): string {
    return this.frame.id;
  }

  get payload(): Body {
    return this.frame.payload as Body;
  }

  /** Who published it: a client's id, or `arqonbus`. */
  get from(): string {
    return this.frame.from;
  }

  get timestamp(): string {
    return this.frame.timestamp;
  }

  get room(): string {
    return "room" in this.frame ? (this.frame.room ?? "") : "";
  }

  /** The channel without its room; `*` for what is said to a whole room. */
  get leaf(): string {
    return "channel" in this.frame ? (this.frame.channel ?? "") : "";
  }

  /** The full `room:channel`; empty for a private message. */
  get channel(): string {
    return this.leaf === "" ? "" : `${this.room}:${this.leaf}`;
  }

  get metadata(): Record<string, unknown> {
    return "metadata" in this.frame ? (this.frame.metadata ?? {}) : {};
  }

  get correlationId(): string {
    return this.frame.correlation_id ?? "";
  }

  get requestId(): string {
    return "request_id" in this.frame ? (this.frame.request_id ?? "") : "";
  }

  /** The stream that this event belongs to, and its place there from 1; empty and 0 where the bus counts none. */
  get epoch(): string {
    return "epoch" in this.frame ? (this.frame.epoch ?? "") : "";
  }

  get offset(): number {
    return "offset" in this.frame ? (this.frame.offset ?? 0) : 0;
  }
}

/** A text frame as it came; undefined when it is no envelope, which a bus does not send. */
export function read(text: string): Message | undefined {
  try {
    const frame: unknown = JSON.parse(text);
    if (typeof frame === "object" && frame !== null && typeof (frame as Received).type === "string") {
      return new Message(frame as Received);
    }
  } catch {
    // not JSON
  }
  return undefined;
}
