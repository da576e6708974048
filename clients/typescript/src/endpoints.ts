import { badAddress } from "./errors.js";

export const RECONNECT_MIN_MS = 200;
export const RECONNECT_MAX_MS = 15_000;
/** How long a connection has to live for its node to count as one that works. */
export const STEADY_MS = 5_000;

/**
 * Where to connect, and when again: the nodes of one cluster in turn, with full-jitter back-off (M. Brooker,
 * "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A lost client first goes round them all; only a whole
 * round without success doubles the wait.
 */
export class Endpoints {
  readonly urls: readonly string[];
  private readonly query: Record<string, string>;
  private readonly minMs: number;
  private at = 0;
  private failures = 0;

  constructor(urls: string | readonly string[], query: Record<string, string>, minMs = RECONNECT_MIN_MS) {
    this.urls = (typeof urls === "string" ? [urls] : urls).map(checked);
    if (this.urls.length === 0) throw badAddress("");
    this.query = query;
    this.minMs = minMs;
  }

  get current(): string {
    return this.urls[this.at] as string;
  }

  /** The current address with what the bus should know of this client. */
  target(more: Record<string, string> = {}): string {
    const url = new URL(this.current);
    for (const [name, value] of Object.entries({ ...this.query, ...more })) {
      if (value !== "") url.searchParams.set(name, value);
    }
    return url.toString();
  }

  /** The current address did not take the client; go on to the next. */
  failed(): void {
    this.failures += 1;
    this.at = (this.at + 1) % this.urls.length;
  }

  /** A connection ended. One that had lived is a new story; one that had not counts as one more failure. */
  lost(livedMs: number): void {
    this.failed();
    if (livedMs >= STEADY_MS) this.failures = 0;
  }

  /** How long to wait before the next attempt. */
  waitMs(): number {
    const rounds = Math.min(Math.floor(this.failures / this.urls.length), 32);
    return Math.random() * Math.min(this.minMs * 2 ** rounds, RECONNECT_MAX_MS);
  }
}

function checked(url: string): string {
  const whole = url.includes("://") ? url : `ws://${url}`;
  let parsed: URL;
  try {
    parsed = new URL(whole);
  } catch {
    throw badAddress(url);
  }
  if ((parsed.protocol !== "ws:" && parsed.protocol !== "wss:") || parsed.hostname === "") throw badAddress(url);
  return whole;
}
