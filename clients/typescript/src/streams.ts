import type { Gap, Position } from "./resume.js";

/**
 * Streams per channel: nodes that published there, and their restarts. As many as a bus takes in a position; of what is
 * forgotten beyond, the next answer to a join tells a gap.
 */
export const EPOCHS_MAX = 256;
/** Stretches per stream that did not come; beyond, the lowest is given up, and told as a gap. */
export const HOLES_MAX = 32;

export type Stretch = [first: number, last: number];

/** What was received of one stream: all up to `head`, except the stretches in `holes`. */
export class Stream {
  head: number;
  /** What is missing up to here is taken when it comes, and not asked for. */
  readonly start: number;
  holes: Stretch[] = [];
  /** Whether it is part of the position; a bus that has forgotten it has said so once. */
  named = true;
  /** Something may be missing before its next event: what that jumps over is a hole, whoever published it. */
  blind = false;

  constructor(head = 0, start = 0) {
    this.head = head;
    this.start = start;
  }

  /** false when it was there before. `own`: what it jumps over is this client's own. */
  add(offset: number, own: boolean): boolean {
    const head = this.head;
    if (offset > head) {
      if (offset > head + 1 && (!own || this.blind)) this.holes.push([head + 1, offset - 1]);
      this.head = offset;
      this.blind = false;
      return true;
    }
    const index = this.holes.findIndex(([first, last]) => first <= offset && offset <= last);
    const hole = this.holes[index];
    if (hole === undefined) return false;
    const rest: Stretch[] = [
      [hole[0], offset - 1],
      [offset + 1, hole[1]],
    ];
    this.holes.splice(index, 1, ...rest.filter(([low, high]) => low <= high));
    return true;
  }

  /** The holes that are worth asking for. */
  missing(): Stretch[] {
    return this.holes.filter(([, last]) => last > this.start).map(([first, last]) => [Math.max(first, this.start + 1), last]);
  }

  /** The highest offset up to which nothing is missing. */
  reach(): number {
    const lowest = this.missing()[0];
    return lowest === undefined ? this.head : Math.min(lowest[0] - 1, this.head);
  }

  /** The bus has given what there is up to here, or has named it. */
  settle(upto: number): void {
    this.head = Math.max(this.head, upto);
    this.holes = this.holes.filter(([, last]) => last > upto);
  }
}

/** The streams of one channel. */
export class Seen {
  readonly streams = new Map<string, Stream>();
  /** The position that the bus was asked to go on from, until it has answered. */
  asked: Position | undefined;
  /** Whether an answer of the bus, or the application, said where it began; else the first events did. */
  exact = false;
  /** The number of the connection on which all that was missed has come. */
  liveAt: number;
  /** What was forgotten of streams, and nobody has been told. */
  gone: Gap[] = [];

  constructor(liveAt: number) {
    this.liveAt = liveAt;
  }

  giveUp(gap: Gap): void {
    this.gone = [...this.gone, gap].slice(-EPOCHS_MAX);
  }

  takeGone(): Gap[] {
    const gone = this.gone;
    this.gone = [];
    return gone;
  }
}

export const nodeOf = (epoch: string): string => epoch.split("-")[0] as string;

/** Life 0 of a node stands before all its lives. */
export const isBeforeAll = (epoch: string): boolean => epoch.endsWith("-0");

/** Lives of one node, in their order: its boot epoch in base 36, and the generation behind a dot. */
export function isEarlier(one: string, other: string): boolean {
  const [[boot, generation], [otherBoot, otherGeneration]] = [life(one), life(other)];
  return boot < otherBoot || (boot === otherBoot && generation < otherGeneration);
}

function life(epoch: string): [number, number] {
  const [boot = "", generation = "0"] = (epoch.split("-")[1] ?? "").split(".");
  return [Number.parseInt(boot, 36) || 0, Number(generation) || 0];
}
