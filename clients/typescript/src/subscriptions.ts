import { CatchUp, type Ask } from "./catchup.js";
import type { Endpoints } from "./endpoints.js";
import { isOurs } from "./errors.js";
import type { Message } from "./message.js";
import { Positions, isPattern, matches } from "./positions.js";
import { Refill } from "./refill.js";
import { resumed, type Gap, type Position, type Resumed } from "./resume.js";

const JOINS_AT_ONCE_MAX = 64;
/** At least: a bus that drops frames above a rate counts them by the second, and several wait here. */
const RATE_PAUSE_MS = 1_000;
/** At most, whatever the bus says. */
const RATE_PAUSE_MS_MAX = 30_000;

/** What a client has joined, and how it joins it again: each channel from where it was. */
export class Subscriptions {
  readonly joined = new Set<string>();
  readonly positions = new Positions();
  readonly catchUp: CatchUp;
  readonly refill: Refill;
  private readonly endpoints: Endpoints;
  private readonly ask: Ask;
  /** Fewer once a bus said that this is too fast for it; a little more each time that it does not. */
  private atOnce = JOINS_AT_ONCE_MAX;
  private slower: ((pauseMs: number) => void) | undefined;

  /** `take` hands an event to the application, unless it came before; `told` hears how it goes on after a drop. */
  constructor(endpoints: Endpoints, ask: Ask, take: (message: Message) => boolean, told: (one: Resumed) => void) {
    this.endpoints = endpoints;
    this.ask = ask;
    this.catchUp = new CatchUp(this.positions, take, ask);
    this.refill = new Refill(this.catchUp, told);
  }

  /** Subscribe, from a position where one is given; from now on it is joined again after each loss. */
  async join(channel: string, since: Position | undefined): Promise<Resumed> {
    if (since !== undefined) {
      this.catchUp.leave(channel);
      this.positions.set(channel, since);
      this.positions.asking(channel);
    }
    const one = await this.joinNow(channel, since);
    this.joined.add(channel);
    return one;
  }

  /** From now on nothing of it is fetched, nor kept, unless another subscription brings it. */
  leave(channel: string): void {
    this.joined.delete(channel);
    this.catchUp.forget(channel);
    for (const name of this.positions.under(channel)) {
      if ([...this.joined].some((other) => matches(other, name))) continue;
      this.positions.forget(name);
      this.catchUp.leave(name);
    }
  }

  /** The bus has dropped so much of what waited for this client. */
  dropped(count: number): void {
    const names = [...this.joined].filter((name) => !isPattern(name) && this.positions.known(name));
    const heard = new Map(names.map((name) => [name, ""]));
    for (const pattern of this.joined) {
      if (!isPattern(pattern)) continue;
      for (const name of this.positions.under(pattern)) if (!heard.has(name)) heard.set(name, pattern);
    }
    this.refill.dropped(count, heard, this.endpoints.current);
  }

  /** Every subscription on a new connection, a few at a time. */
  async joinAgain(): Promise<Resumed[]> {
    const told: Resumed[] = [];
    const left = [...this.joined];
    while (left.length > 0) {
      const few = left.splice(0, this.atOnce);
      const done = new Map<string, Resumed[]>();
      const attempts = few.map((channel) => ({ channel, abort: new AbortController() }));
      const joins = attempts.map(async ({ channel, abort }) => done.set(channel, await this.joinOneAgain(channel, abort.signal)));
      let timer: ReturnType<typeof setTimeout> | undefined;
      const dropped = new Promise<"dropped">((resolve) => {
        this.slower = (pauseMs) => (timer ??= setTimeout(() => resolve("dropped"), pauseMs));
      });
      try {
        if ((await Promise.race([Promise.all(joins), dropped])) === "dropped") this.atOnce = Math.max(1, this.atOnce >> 1);
        else this.atOnce = Math.min(JOINS_AT_ONCE_MAX, this.atOnce + 1 + (this.atOnce >> 3));
      } finally {
        clearTimeout(timer);
        this.slower = undefined;
        attempts.forEach(({ abort }) => abort.abort()); // nobody is told which were dropped: what is not answered by now
        await Promise.allSettled(joins);
      }
      left.unshift(...few.filter((channel) => !done.has(channel)));
      for (const channel of few) told.push(...(done.get(channel) ?? []));
    }
    return told;
  }

  /** The bus has dropped some of what was sent, and may have said when it takes more. */
  tooFast(retryAfterMs: unknown): void {
    const told = typeof retryAfterMs === "number" ? retryAfterMs : 0;
    this.slower?.(Math.min(Math.max(told, RATE_PAUSE_MS), RATE_PAUSE_MS_MAX));
  }

  /** One that this client may not join any more takes nothing from the others; it is tried at the next loss. */
  private async joinOneAgain(channel: string, signal: AbortSignal): Promise<Resumed[]> {
    try {
      if (isPattern(channel)) return await this.joinPattern(channel, signal);
      if (!this.positions.known(channel)) return [await this.joinNow(channel, undefined, signal)];
      return [await this.joinFrom(channel, this.positions.asking(channel), signal)];
    } catch (wrong) {
      if (!isOurs(wrong) || !wrong.denied) throw wrong;
      console.warn(`${channel} could not be joined again: ${wrong.message}`);
      return [resumed(channel, this.endpoints.current, false)];
    }
  }

  /** Or from now on, when this client may join it and not read its history. */
  private async joinFrom(channel: string, since: Position, signal: AbortSignal): Promise<Resumed> {
    try {
      return await this.joinNow(channel, since, signal);
    } catch (wrong) {
      if (!isOurs(wrong) || !wrong.denied) throw wrong;
      const { position = {} } = (await this.ask("join_channel", { channel }, signal)).payload as { position?: Position };
      console.warn(`${channel} is joined again without what was missed: ${wrong.message}`);
      this.positions.missTo(channel, position);
      const gaps = this.positions.close(channel, since);
      this.positions.told(channel, position);
      return resumed(channel, this.endpoints.current, false, { gaps });
    }
  }

  private async joinNow(channel: string, since: Position | undefined, signal?: AbortSignal): Promise<Resumed> {
    const answer = await this.ask("join_channel", since === undefined ? { channel } : { channel, since }, signal);
    const told = answer.payload as { recovered?: unknown; gaps?: Gap[]; lost?: Gap[]; missed?: number; position?: Position };
    if (isPattern(channel)) this.catchUp.patternBegan(channel, answer.timestamp);
    const { current: url } = this.endpoints;
    const dropped = this.catchUp.has(channel); // some of it, on its way: the history has the last word
    if (typeof told.recovered !== "boolean") {
      if (told.position !== undefined && !dropped) this.positions.told(channel, told.position);
      return resumed(channel, url, undefined, { missed: told.missed ?? 0 });
    }
    const gaps = dropped ? (told.gaps ?? []) : this.positions.answered(channel, told.position ?? {}, told.gaps ?? []);
    return resumed(channel, url, gaps.length === 0, { gaps, lost: told.lost ?? [], missed: told.missed ?? 0 });
  }

  private async joinPattern(pattern: string, signal: AbortSignal): Promise<Resumed[]> {
    const holds = this.catchUp.holdUnder(pattern, this.joined);
    const { current: url } = this.endpoints;
    try {
      const told = [await this.joinNow(pattern, undefined, signal)];
      for (const hold of holds) {
        const one = await this.catchUp.run(hold, pattern, url, signal);
        if (one !== undefined) told.push(one);
      }
      return told;
    } catch (wrong) {
      if (isOurs(wrong) && wrong.denied) holds.forEach((hold) => this.catchUp.giveUp(hold, url));
      throw wrong;
    } finally {
      holds.forEach((hold) => this.catchUp.discard(hold));
    }
  }
}
