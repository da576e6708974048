import { CATCH_UP_MAX, CatchUp, Refill, type Ask } from "./catchup.js";
import type { Endpoints } from "./endpoints.js";
import { isOurs } from "./errors.js";
import type { Message } from "./message.js";
import { Positions, isPattern } from "./positions.js";
import { resumed, type Gap, type Position, type Resumed } from "./resume.js";

const JOINS_AT_ONCE_MAX = 64;
/** A bus that drops frames above a rate counts them by the second. */
const RATE_PAUSE_MS = 1_000;
/** What a client has joined, and how it joins it again: each channel from where it was. */
export class Subscriptions {
  readonly joined = new Set<string>();
  readonly positions = new Positions();
  readonly catchUp: CatchUp;
  readonly refill: Refill;
  private readonly endpoints: Endpoints;
  private readonly ask: Ask;
  /** Fewer once a bus said that this is too fast for it. */
  private atOnce = JOINS_AT_ONCE_MAX;
  private slower: (() => void) | undefined;

  /** `take` hands an event to the application, unless it came before; `told` hears how it goes on after a drop. */
  constructor(endpoints: Endpoints, ask: Ask, take: (message: Message) => boolean, told: (one: Resumed) => void) {
    this.endpoints = endpoints;
    this.ask = ask;
    this.catchUp = new CatchUp(this.positions, take, ask);
    this.refill = new Refill(this.positions, this.catchUp, told);
  }

  /** Subscribe, from a position where one is given; from now on it is joined again after each loss. */
  async join(channel: string, since: Position | undefined): Promise<Resumed> {
    if (since !== undefined) this.positions.set(channel, since);
    const one = await this.joinNow(channel, since);
    this.joined.add(channel);
    return one;
  }

  leave(channel: string): void {
    this.joined.delete(channel);
    this.positions.forget(channel);
    this.catchUp.forget(channel);
  }

  /** The bus has dropped so much of what waited for this client. */
  dropped(count: number): void {
    this.refill.dropped(count, this.joined, this.endpoints.current);
  }

  /** Every subscription on a new connection, a few at a time. */
  async joinAgain(): Promise<Resumed[]> {
    const told: Resumed[] = [];
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
      for (const channel of few) told.push(...(done.get(channel) ?? []));
    }
    return told;
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
      return [resumed(channel, this.endpoints.current, false)];
    }
  }

  private async joinNow(channel: string, since: Position | undefined): Promise<Resumed> {
    const answer = await this.ask("join_channel", since === undefined ? { channel } : { channel, since });
    const told = answer.payload as { recovered?: unknown; gaps?: Gap[]; lost?: Gap[]; missed?: number; position?: Position };
    if (isPattern(channel)) this.catchUp.patternBegan(channel, answer.timestamp);
    const { current: url } = this.endpoints;
    if (typeof told.recovered !== "boolean") {
      if (told.position !== undefined) this.positions.told(channel, told.position);
      return resumed(channel, url, undefined, { missed: told.missed ?? 0 });
    }
    const gaps = this.positions.answered(channel, told.position ?? {}, told.gaps ?? []);
    return resumed(channel, url, gaps.length === 0, { gaps, lost: told.lost ?? [], missed: told.missed ?? 0 });
  }

  private async joinPattern(pattern: string): Promise<Resumed[]> {
    const channels = this.positions
      .under(pattern)
      .filter((channel) => !this.joined.has(channel))
      .slice(0, CATCH_UP_MAX)
      .filter((channel) => this.catchUp.hold(channel));
    try {
      const told = [await this.joinNow(pattern, undefined)];
      for (const channel of channels) {
        const one = await this.catchUp.run(channel, pattern, this.endpoints.current);
        if (one !== undefined) told.push(one);
      }
      return told;
    } catch (wrong) {
      if (isOurs(wrong) && wrong.denied) channels.forEach((channel) => this.catchUp.release(channel));
      throw wrong;
    } finally {
      channels.forEach((channel) => this.catchUp.discard(channel));
    }
  }
}
