import type { CatchUp, Hold } from "./catchup.js";
import { isOurs } from "./errors.js";
import { resumed, type Resumed } from "./resume.js";

/**
 * The bus dropped messages because this client read too slowly. The notice says how many are missing, not where: from it
 * on, what comes live in the channels of this client waits; each is read on from where it was, and what was missed comes
 * first, in its order. What belongs to no channel (private messages, notices, answers) is in no history, and neither is the
 * mesh's own room.
 */
export class Refill {
  private readonly catchUp: CatchUp;
  /** Hears of each channel in which something was missing, and of `*` when not all of it was found. */
  private readonly told: (one: Resumed) => void;
  private due: [Hold, string][] = [];
  private missing = 0;
  private found = 0;
  private running: object | undefined;

  constructor(catchUp: CatchUp, told: (one: Resumed) => void) {
    this.catchUp = catchUp;
    this.told = told;
  }

  /** So many messages are missing from here on. `heard`: channels, and by which pattern; empty: by their name. */
  dropped(count: number, heard: ReadonlyMap<string, string>, url: string): void {
    this.missing += count;
    for (const [channel, pattern] of heard) {
      const hold = this.catchUp.hold(channel);
      if (hold !== undefined) this.due.push([hold, pattern]);
    }
    if (this.running === undefined) void this.run((this.running = {}), url);
  }

  /** The connection is gone: the next one goes on from where the channels were. */
  stop(): void {
    this.running = undefined;
    for (const [hold] of this.due) this.catchUp.discard(hold);
    this.due = [];
    this.missing = this.found = 0;
  }

  private async run(mine: object, url: string): Promise<void> {
    for (let next = this.due[0]; next !== undefined; next = this.due[0]) {
      const [hold, pattern] = next;
      let one: Resumed | undefined;
      try {
        one = await this.catchUp.run(hold, pattern, url);
      } catch (wrong) {
        if (!isOurs(wrong)) console.error("what was dropped could not be fetched:", wrong);
        if (this.running === mine) one = this.catchUp.giveUp(hold, url); // nobody else's concern
      }
      if (this.running !== mine) return;
      this.due.shift();
      this.found += hold.found;
      if (one !== undefined && (one.missed > 0 || one.recovered !== true)) this.told(one);
    }
    // what a pattern that comes back fetches meanwhile may be something else
    if (this.found < this.missing) this.told(resumed("*", url, false, { missed: this.found }));
    this.running = undefined;
    this.missing = this.found = 0;
  }
}
