import { isOurs } from "./errors.js";
import type { Received } from "./frames.generated.js";
import { Message } from "./message.js";
import { isPattern, matches, type Positions } from "./positions.js";
import { resumed, type Position, type Resumed } from "./resume.js";

/** Channels that are caught up at one time. */
export const CATCH_UP_MAX = 256;
/** Live messages per channel that wait for older ones; beyond it they are left to the history too. */
const HELD_MAX = 10_000;
const PAGE = 500;

/** Runs a command of the bus; one that is busy is asked again for a while. */
export type Ask = (command: string, args: object) => Promise<Message>;

interface Page {
  messages: Received[];
  more?: boolean;
  position?: Position;
}

/**
 * What a channel missed, read from the history while live messages wait behind it. Two need this: a pattern after a lost
 * connection (a position belongs to one channel, so the bus cannot resume a pattern), and any channel when the bus dropped
 * something because this client read too slowly.
 */
export class CatchUp {
  private readonly positions: Positions;
  /** Hands one on; false when it came before. */
  private readonly take: (message: Message) => boolean;
  private readonly ask: Ask;
  /** When each pattern was joined: what was published before that was not missed. */
  private readonly began = new Map<string, string>();
  private readonly held = new Map<string, Message[]>();
  /** Channels of which something was dropped since the history was asked last. */
  private readonly stale = new Set<string>();

  constructor(positions: Positions, take: (message: Message) => boolean, ask: Ask) {
    this.positions = positions;
    this.take = take;
    this.ask = ask;
  }

  patternBegan(pattern: string, timestamp: string): void {
    if (!this.began.has(pattern)) this.began.set(pattern, timestamp);
  }

  forget(pattern: string): void {
    this.began.delete(pattern);
  }

  /** Keep a live message for later, if its channel is being caught up. */
  holds(message: Message): boolean {
    const held = this.held.get(message.channel);
    if (held === undefined) return false;
    if (held.length < HELD_MAX) held.push(message);
    else this.stale.add(message.channel);
    return true;
  }

  /** From now on what is live there waits, until `release` or `discard`; false when it does already. */
  hold(channel: string): boolean {
    this.stale.add(channel);
    this.positions.unsettle(channel);
    if (this.held.has(channel)) return false;
    this.held.set(channel, []);
    return true;
  }

  /**
   * Hand on what was missed of one channel, then what was held; undefined when there is no history to be had. When this
   * rejects, what is held is still held.
   */
  async run(channel: string, pattern: string, url: string): Promise<Resumed | undefined> {
    const since = this.positions.of(channel);
    const cursor: Position = { ...since };
    let missed = 0;
    let page: Page;
    do {
      this.stale.delete(channel);
      try {
        page = (await this.ask("history", { channel, since: cursor, limit: PAGE })).payload as Page;
      } catch (wrong) {
        if (!isOurs(wrong) || !(wrong.denied || wrong.code.startsWith("bus.no-such"))) throw wrong;
        this.release(channel);
        return undefined;
      }
      for (const frame of page.messages) {
        const message = new Message(frame);
        cursor[message.epoch] = Math.max(cursor[message.epoch] ?? 0, message.offset);
        if (!(message.epoch in since) && message.timestamp < (this.began.get(pattern) ?? "")) {
          this.positions.advance(channel, message);
        } else if (this.take(message)) {
          missed += 1;
        }
      }
    } while (this.stale.has(channel) || (page.messages.length > 0 && (page.more === true || isBehind(cursor, page.position))));
    this.positions.missTo(channel, page.position ?? {});
    this.release(channel);
    const gaps = this.positions.close(channel, since);
    return resumed(channel, url, gaps.length === 0, { gaps, missed });
  }

  release(channel: string): void {
    const held = this.held.get(channel) ?? [];
    this.discard(channel);
    for (const message of held) this.take(message);
  }

  /** The connection is gone, and what it brought comes again from where the channel was. */
  discard(channel: string): void {
    this.stale.delete(channel);
    this.held.delete(channel);
  }
}

function isBehind(cursor: Position, heads: Position = {}): boolean {
  return Object.entries(heads).some(([epoch, head]) => head > (cursor[epoch] ?? head));
}

/**
 * The bus dropped messages because this client read too slowly. The notice says how many are missing, not where: from it
 * on, what comes live in the channels of this client waits; each is read on from where it was, and what was missed comes
 * first, in its order. What belongs to no channel (private messages, notices, answers) is in no history.
 */
export class Refill {
  private readonly positions: Positions;
  private readonly catchUp: CatchUp;
  private readonly told: (one: Resumed) => void;
  private readonly due = new Set<string>();
  private missing = 0;
  private found = 0;
  private running: object | undefined;

  constructor(positions: Positions, catchUp: CatchUp, told: (one: Resumed) => void) {
    this.positions = positions;
    this.catchUp = catchUp;
    this.told = told;
  }

  /** So many messages are missing from here on. */
  dropped(count: number, joined: ReadonlySet<string>, url: string): void {
    const channels = new Set([...joined].flatMap((name) => (isPattern(name) ? this.positions.under(name) : [name])));
    this.missing += count;
    for (const channel of [...channels].slice(0, CATCH_UP_MAX)) {
      this.catchUp.hold(channel);
      this.due.add(channel);
    }
    if (this.running === undefined) void this.run((this.running = {}), joined, url);
  }

  /** The connection is gone: the next one goes on from where the channels were. */
  stop(): void {
    this.running = undefined;
    for (const channel of this.due) this.catchUp.discard(channel);
    this.due.clear();
    this.missing = this.found = 0;
  }

  private async run(mine: object, joined: ReadonlySet<string>, url: string): Promise<void> {
    for (const channel of this.due) {
      let one: Resumed | undefined;
      try {
        one = await this.catchUp.run(channel, patternOf(channel, joined), url);
      } catch (wrong) {
        if (this.running !== mine) return;
        if (!isOurs(wrong)) console.error("what was dropped could not be fetched:", wrong);
        this.catchUp.release(channel);
      }
      if (this.running !== mine) return;
      this.due.delete(channel);
      this.found += one?.missed ?? 0;
      if (one === undefined) this.told(resumed(channel, url, false));
      else if (one.missed > 0 || one.gaps.length > 0) this.told(one);
    }
    if (this.found < this.missing) this.told(resumed("*", url, false, { missed: this.found }));
    this.running = undefined;
    this.missing = this.found = 0;
  }
}

/** By which pattern a channel is heard that was not joined by its name. */
function patternOf(channel: string, joined: ReadonlySet<string>): string {
  if (joined.has(channel)) return "";
  return [...joined].find((name) => isPattern(name) && matches(name, channel)) ?? "";
}
