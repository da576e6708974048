import { isOurs } from "./errors.js";
import type { Received } from "./frames.generated.js";
import { Message } from "./message.js";
import type { Positions } from "./positions.js";
import { resumed, type Gap, type Position, type Resumed } from "./resume.js";

/**
 * Channels whose live messages wait at one time. What comes live in the others before their turn comes passes; what they
 * missed comes behind it.
 */
export const HOLDING_MAX = 256;
/** Live messages per channel that wait for older ones; beyond it they are left to the history too. */
const HELD_MAX = 10_000;
const PAGE = 500;

/** Runs a command of the bus, unless aborted; one that is busy is asked again for a while. */
export type Ask = (command: string, args: object, signal?: AbortSignal) => Promise<Message>;

interface Page {
  messages: Received[];
  more?: boolean;
  position?: Position;
  gaps?: Gap[];
}

/** A channel that is owed what came after `since`. Whoever owes it owns this, one per channel; it ends once. */
export class Hold {
  readonly channel: string;
  readonly since: Position;
  /** What came live, and waits; undefined: its turn has not come. */
  live: Message[] | undefined;
  /** Live messages that had no room here. */
  left = 0;
  /** Something was dropped since the history was asked last. */
  stale = false;
  /** Once it is caught up: how many were fetched that had not come live. */
  found = 0;
  over = false;

  constructor(channel: string, since: Position) {
    this.channel = channel;
    this.since = since;
  }
}

/**
 * What a channel missed, read from the history while live messages wait behind it. Two need this: a pattern after a lost
 * connection (a position belongs to one channel, so the bus cannot resume a pattern), and any channel when the bus dropped
 * something because this client read too slowly. What nobody could read stays a hole in the position, and is asked for at
 * the next return.
 */
export class CatchUp {
  private readonly positions: Positions;
  /** Hands one on; false when it came before. */
  private readonly take: (message: Message) => boolean;
  private readonly ask: Ask;
  /** When each pattern was joined: what was published before that was not missed. */
  private readonly began = new Map<string, string>();
  private readonly all = new Map<string, Hold>();
  private holding = 0;

  constructor(positions: Positions, take: (message: Message) => boolean, ask: Ask) {
    this.positions = positions;
    this.take = take;
    this.ask = ask;
  }

  has(channel: string): boolean {
    return this.all.has(channel);
  }

  patternBegan(pattern: string, timestamp: string): void {
    if (!this.began.has(pattern)) this.began.set(pattern, timestamp);
  }

  forget(pattern: string): void {
    this.began.delete(pattern);
  }

  /** Keep a live message for later, if its channel is being caught up. */
  holds(message: Message): boolean {
    const hold = this.all.get(message.channel);
    if (hold?.live === undefined) return false;
    if (hold.live.length < HELD_MAX) {
      hold.live.push(message);
    } else {
      hold.left += 1;
      hold.stale = true;
    }
    return true;
  }

  /** Something may be missing there from now on. undefined: somebody catches it up already, and asks once more. */
  hold(channel: string): Hold | undefined {
    this.positions.unsettle(channel);
    const found = this.all.get(channel);
    if (found !== undefined) {
      found.stale = true;
      return undefined;
    }
    const hold = new Hold(channel, this.positions.asking(channel));
    this.all.set(channel, hold);
    if (this.holding < HOLDING_MAX) this.holdBack(hold);
    return hold;
  }

  /** Before the pattern is joined again: the channels that it brings and that are not live yet. */
  holdUnder(pattern: string, joined: ReadonlySet<string>): Hold[] {
    return this.positions
      .under(pattern)
      .filter((channel) => !joined.has(channel) && !this.has(channel) && !this.positions.isLive(channel))
      .filter((channel) => Object.keys(this.positions.of(channel)).length > 0)
      .map((channel) => this.hold(channel))
      .filter((hold) => hold !== undefined);
  }

  /**
   * Hand on what was missed of one channel, then what was held; undefined when the channel was left meanwhile. When this
   * rejects, the hold goes on.
   */
  async run(hold: Hold, pattern: string, url: string, signal?: AbortSignal): Promise<Resumed | undefined> {
    if (hold.over) return undefined;
    this.holdBack(hold);
    const { channel, since } = hold;
    const cursor: Position = { ...since };
    const doubts = new Map<string, Gap>();
    let missed = 0;
    let page: Page;
    do {
      hold.stale = false;
      try {
        page = (await this.ask("history", { channel, since: cursor, limit: PAGE }, signal)).payload as Page;
      } catch (wrong) {
        if (!isOurs(wrong) || !(wrong.denied || wrong.code.startsWith("bus.no-such"))) throw wrong;
        return this.giveUp(hold, url);
      }
      for (const gap of page.gaps ?? []) if (!doubts.has(gap.epoch)) doubts.set(gap.epoch, gap);
      for (const frame of page.messages) {
        if (hold.over) return undefined; // also where a handler has left it just now
        const message = new Message(frame);
        cursor[message.epoch] = Math.max(cursor[message.epoch] ?? 0, message.offset);
        if (!(message.epoch in since) && message.timestamp < (this.began.get(pattern) ?? "")) {
          this.positions.advance(channel, message);
        } else if (this.take(message)) {
          missed += 1;
        }
      }
      if (hold.over) return undefined;
    } while (hold.stale || (page.messages.length > 0 && (page.more === true || isBehind(cursor, page.position))));
    this.positions.missTo(channel, page.position ?? {}, doubts);
    hold.found = missed - hold.left - this.release(hold);
    const gaps = [...this.positions.close(channel, since), ...doubts.values()];
    return resumed(channel, url, gaps.length === 0, { gaps, missed });
  }

  /** Its past cannot be read: what is live goes on, behind a hole. undefined when it was over already. */
  giveUp(hold: Hold, url: string): Resumed | undefined {
    if (hold.over) return undefined;
    this.positions.goOnBlindly(hold.channel);
    this.release(hold);
    return resumed(hold.channel, url, false);
  }

  /** The connection is gone, and what it brought comes again from where the channel was. Repeats are harmless. */
  discard(hold: Hold): void {
    this.end(hold);
  }

  /** Nobody wants it any more. */
  leave(channel: string): void {
    const hold = this.all.get(channel);
    if (hold !== undefined) this.end(hold);
  }

  private holdBack(hold: Hold): void {
    if (hold.live !== undefined) return;
    hold.live = [];
    this.holding += 1;
  }

  /** Hand on what waited; how much of it had come before. */
  private release(hold: Hold): number {
    return this.end(hold).filter((message) => !this.take(message)).length;
  }

  private end(hold: Hold): Message[] {
    if (hold.over) return [];
    hold.over = true;
    this.all.delete(hold.channel);
    if (hold.live !== undefined) this.holding -= 1;
    return hold.live ?? [];
  }
}

function isBehind(cursor: Position, heads: Position = {}): boolean {
  return Object.entries(heads).some(([epoch, head]) => head > (cursor[epoch] ?? head));
}
