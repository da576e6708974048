import type { Endpoints } from "./endpoints.js";
import type { Received } from "./frames.generated.js";
import { isOurs } from "./socket.js";
import { Message } from "./message.js";
import { Positions, isPattern, type Gap, type Position, type Resumed } from "./positions.js";

const JOINS_AT_ONCE_MAX = 64;
/** A bus that drops frames above a rate counts them by the second. */
const RATE_PAUSE_MS = 1_000;
/** Channels of patterns that one reconnect catches up. */
const CATCH_UP_MAX = 256;
/** Live messages per channel that wait for older ones; beyond it they are handed on out of order. */
const HELD_MAX = 10_000;
const PAGE = 500;

type Ask = (command: string, args: object) => Promise<Message>;

/**
 * What a client has joined, and how it joins it again: each channel from where it was. A position belongs to one
 * channel, so the bus cannot resume a pattern; for those the client reads what each known channel missed from the
 * history, and holds back meanwhile what comes live there.
 */
export class Subscriptions {
  readonly joined = new Set<string>();
  readonly positions = new Positions();
  private readonly endpoints: Endpoints;
  private readonly ask: Ask;
  private readonly take: (message: Message) => void;
  /** When each pattern was joined: what was published before that was not missed. */
  private readonly began = new Map<string, string>();
  private readonly held = new Map<string, Message[]>();
  /** Fewer once a bus said that this is too fast for it. */
  private atOnce = JOINS_AT_ONCE_MAX;
  private slower: (() => void) | undefined;

  constructor(endpoints: Endpoints, ask: Ask, take: (message: Message) => void) {
    this.endpoints = endpoints;
    this.ask = ask;
    this.take = take;
  }

  /** Subscribe, from a position where one is given; from now on it is joined again after each loss. */
  async join(channel: string, since: Position | undefined): Promise<Resumed> {
    if (since !== undefined) this.positions.set(channel, since);
    const resumed = await this.joinNow(channel, since);
    this.joined.add(channel);
    return resumed;
  }

  leave(channel: string): void {
    this.joined.delete(channel);
    this.positions.forget(channel);
    this.began.delete(channel);
  }

  /** Every subscription on a new connection, a few at a time. */
  async joinAgain(): Promise<Resumed[]> {
    const resumed: Resumed[] = [];
    const left = [...this.joined];
    while (left.length > 0) {
      const few = left.splice(0, this.atOnce);
      const done = new Map<string, Resumed[]>();
      const together = Promise.all(few.map(async (channel) => done.set(channel, await this.joinOneAgain(channel))));
      let timer: ReturnType<typeof setTimeout> | undefined;
      const dropped = new Promise<"dropped">((resolve) => {
        this.slower = () => (timer ??= setTimeout(() => resolve("dropped"), RATE_PAUSE_MS));
      });
      try {
        if ((await Promise.race([together, dropped])) === "dropped") {
          together.catch(() => undefined); // what nobody answers is given up in time
          left.unshift(...few.filter((channel) => !done.has(channel))); // nobody is told which were dropped
          this.atOnce = Math.max(1, Math.floor(this.atOnce / 2));
        }
      } finally {
        clearTimeout(timer);
        this.slower = undefined;
      }
      for (const channel of few) resumed.push(...(done.get(channel) ?? []));
    }
    return resumed;
  }

  /** The bus has dropped some of what was sent. */
  tooFast(): void {
    this.slower?.();
  }

  /** One that this client may not join any more takes nothing from the others; it is tried at the next loss. */
  private async joinOneAgain(channel: string): Promise<Resumed[]> {
    try {
      if (isPattern(channel)) return await this.joinPattern(channel);
      return [await this.joinNow(channel, this.positions.known(channel) ? this.positions.of(channel) : undefined)];
    } catch (wrong) {
      if (!isOurs(wrong) || !wrong.denied) throw wrong;
      console.warn(`${channel} could not be joined again: ${wrong.message}`);
      return [{ channel, recovered: false, gaps: [], missed: 0, url: this.endpoints.current }];
    }
  }

  /** Keep a live message for later, if its channel is being caught up. */
  holds(message: Message): boolean {
    const held = this.held.get(message.channel);
    if (held === undefined) return false;
    held.push(message);
    if (held.length > HELD_MAX) this.release(message.channel);
    return true;
  }

  private async joinNow(channel: string, since: Position | undefined): Promise<Resumed> {
    const answer = await this.ask("join_channel", since === undefined ? { channel } : { channel, since });
    const told = answer.payload as { recovered?: unknown; gaps?: Gap[]; missed?: number; position?: Position };
    if (told.position !== undefined) this.positions.told(channel, told.position);
    if (isPattern(channel) && !this.began.has(channel)) this.began.set(channel, answer.timestamp);
    return {
      channel,
      recovered: typeof told.recovered === "boolean" ? told.recovered : undefined,
      gaps: told.gaps ?? [],
      missed: told.missed ?? 0,
      url: this.endpoints.current,
    };
  }

  private async joinPattern(pattern: string): Promise<Resumed[]> {
    const channels = this.positions
      .under(pattern)
      .filter((channel) => !this.joined.has(channel) && !this.held.has(channel) && this.positions.known(channel))
      .slice(0, CATCH_UP_MAX);
    for (const channel of channels) this.held.set(channel, []);
    try {
      const resumed = [await this.joinNow(pattern, undefined)];
      for (const channel of channels) resumed.push(...(await this.catchUp(pattern, channel)));
      return resumed;
    } finally {
      for (const channel of channels) this.release(channel);
    }
  }

  /** Hand on what was missed of one channel, then what was held. */
  private async catchUp(pattern: string, channel: string): Promise<Resumed[]> {
    const since = this.positions.of(channel);
    let missed = 0;
    try {
      for (;;) {
        const answer = await this.ask("history", { channel, since: this.positions.of(channel), limit: PAGE });
        const page = answer.payload as { messages: Received[]; more?: boolean };
        for (const frame of page.messages) {
          const message = new Message(frame);
          if (!(message.epoch in since) && message.timestamp < (this.began.get(pattern) ?? "")) {
            this.positions.advance(channel, message);
          } else {
            this.take(message);
            missed += 1;
          }
        }
        if (page.more !== true || page.messages.length === 0) break;
      }
    } catch (wrong) {
      if (isOurs(wrong) && (wrong.denied || wrong.code.startsWith("bus.no-such"))) return []; // no history to be had
      throw wrong;
    } finally {
      this.release(channel);
    }
    const gaps = this.positions.gaps(channel, since);
    return [{ channel, recovered: gaps.length === 0, gaps, missed, url: this.endpoints.current }];
  }

  private release(channel: string): void {
    const held = this.held.get(channel) ?? [];
    this.held.delete(channel);
    for (const message of held) this.take(message);
  }
}
