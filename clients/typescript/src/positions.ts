import type { Message } from "./message.js";
import type { Gap, Position } from "./resume.js";

/** Channels whose position is remembered; beyond, the one that came first is forgotten. */
export const CHANNELS_MAX = 10_000;
/**
 * Streams per channel: nodes that published there, and their restarts. As many as a bus takes in a position; of what is
 * forgotten beyond, the next answer to a join tells a gap.
 */
export const EPOCHS_MAX = 256;
/** Stretches per stream that did not come; beyond, the lowest is given up, and told as a gap. */
export const HOLES_MAX = 32;
/** Characters of a node's id that the names of its streams begin with. */
const NODE_LENGTH = 10;

type Stretch = [first: number, last: number];

/** What was received of one stream: all up to `head`, except the stretches in `holes`. */
class Stream {
  head: number;
  /** What is missing up to here is taken when it comes, and not asked for. */
  readonly start: number;
  holes: Stretch[] = [];
  /** Whether it is part of the position; a bus that has forgotten it has said so once. */
  named = true;

  constructor(head = 0, start = 0) {
    this.head = head;
    this.start = start;
  }

  /** false when it was there before. `own`: what it jumps over is this client's own. */
  add(offset: number, own: boolean): boolean {
    const head = this.head;
    if (offset > head) {
      if (offset > head + 1 && !own) this.holes.push([head + 1, offset - 1]);
      this.head = offset;
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
class Seen {
  readonly streams = new Map<string, Stream>();
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

/**
 * Per channel: how far each stream was received, so that it can go on at any node of the cluster. Where offsets jumped, a
 * position goes back to before the hole: what is asked for once more and was seen is known, and not handed on again. Once
 * it is live, the stream of the node that the client is connected to jumps over what the client published itself, and
 * over nothing else unless the bus says so: no hole.
 */
export class Positions {
  forgotten = 0;
  private readonly seen = new Map<string, Seen>();
  private node = "";
  private connection = 0;

  /** To the node with this id; what was missed comes first. */
  connected(node: string): void {
    this.node = node.slice(0, NODE_LENGTH);
    this.connection += 1;
  }

  /** Note an event; false when it was there before. Events without an epoch are always new. */
  advance(channel: string, message: Message): boolean {
    const { epoch, offset } = message;
    if (epoch === "") return true;
    const seen = this.seenOf(channel);
    let stream = seen.streams.get(epoch);
    if (stream === undefined) {
      if (seen.exact) this.noteNode(seen, epoch);
      this.bound(seen);
      seen.streams.set(epoch, (stream = new Stream(0, seen.exact ? 0 : offset - 1)));
    }
    const own = this.node !== "" && epoch.startsWith(this.node) && seen.liveAt === this.connection;
    const fresh = stream.add(offset, own);
    if (stream.holes.length > HOLES_MAX) {
      const [first, last] = stream.holes.shift() as Stretch;
      if (last > stream.start) seen.giveUp({ epoch, first: Math.max(first, stream.start + 1), last });
      this.forgotten += 1;
    }
    return fresh;
  }

  /** The bus says that this was seen; never a step back. */
  told(channel: string, position: Position): void {
    const seen = this.seenOf(channel);
    seen.exact = true;
    seen.liveAt = this.connection;
    for (const [epoch, offset] of Object.entries(position)) {
      const stream = seen.streams.get(epoch);
      if (stream === undefined) {
        this.bound(seen);
        seen.streams.set(epoch, new Stream(offset));
      } else {
        stream.head = Math.max(stream.head, offset);
        stream.named = true;
      }
    }
  }

  /**
   * The bus has given what came after the position that was asked from, and has named what it has not got: up to this
   * position nothing more is to be had. What of the gaps this client has not seen by another way.
   */
  answered(channel: string, position: Position, gaps: Gap[]): Gap[] {
    const seen = this.seenOf(channel);
    const unseen: Gap[] = [];
    for (const gap of gaps) {
      const { epoch, last } = gap;
      const stream = seen.streams.get(epoch);
      if (stream === undefined || last === null) {
        unseen.push(gap);
        continue;
      }
      for (const [low, high] of [...stream.missing(), [stream.head + 1, last] as Stretch]) {
        const part = { epoch, first: Math.max(low, gap.first), last: Math.min(high, last) };
        if (part.first <= part.last) unseen.push(part);
      }
    }
    for (const [epoch, stream] of seen.streams) {
      const upto = position[epoch];
      if (upto !== undefined) stream.settle(upto);
      else if (!isBeforeAll(epoch)) stream.named = false;
    }
    this.told(channel, position);
    return [...unseen, ...seen.takeGone()];
  }

  /** Go on from here: what the application kept. */
  set(channel: string, position: Position): void {
    this.forget(channel);
    this.told(channel, position);
    this.seenOf(channel).liveAt = -1;
  }

  of(channel: string): Position {
    const streams = this.seen.get(channel)?.streams ?? new Map<string, Stream>();
    return Object.fromEntries([...streams].filter(([, one]) => one.named).map(([epoch, one]) => [epoch, one.reach()]));
  }

  known(channel: string): boolean {
    return this.seen.has(channel);
  }

  /** The channels that a subscription to `room:*`, `*:channel` or `*` has brought. */
  under(pattern: string): string[] {
    return [...this.seen.keys()].filter((channel) => matches(pattern, channel) && !isPattern(channel));
  }

  /** Something may be missing from every stream from here on, until `missTo`. */
  unsettle(channel: string): void {
    const seen = this.seen.get(channel);
    if (seen !== undefined) seen.liveAt = -1;
  }

  /** All there is up to these heads has come: what is not here by now is missing, and what follows is live. */
  missTo(channel: string, position: Position): void {
    const seen = this.seen.get(channel);
    if (seen === undefined) return;
    seen.liveAt = this.connection;
    for (const [epoch, head] of Object.entries(position)) {
      const stream = seen.streams.get(epoch);
      if (stream !== undefined && head > stream.head) {
        stream.holes.push([stream.head + 1, head]);
        stream.head = head;
      }
    }
  }

  /** What did not come above that position, and will not be asked for again. */
  close(channel: string, since: Position): Gap[] {
    const seen = this.seen.get(channel);
    if (seen === undefined) return [];
    const gaps: Gap[] = [];
    for (const [epoch, stream] of seen.streams) {
      const low = since[epoch] ?? stream.start;
      for (const [first, last] of stream.missing()) if (first > low) gaps.push({ epoch, first, last });
      stream.holes = stream.holes.filter(([first]) => first <= low);
    }
    return [...gaps, ...seen.takeGone()];
  }

  forget(channel: string): void {
    this.seen.delete(channel);
  }

  private seenOf(channel: string): Seen {
    let seen = this.seen.get(channel);
    if (seen === undefined) {
      if (this.seen.size >= CHANNELS_MAX) {
        this.seen.delete(this.seen.keys().next().value as string);
        this.forgotten += 1;
      }
      this.seen.set(channel, (seen = new Seen(this.connection)));
    }
    return seen;
  }

  /** A node that the position does not name at all, heard in some life: the ones before it are owed too. */
  private noteNode(seen: Seen, epoch: string): void {
    if (!epoch.includes("-")) return;
    const node = nodeOf(epoch);
    if ([...seen.streams.keys()].some((other) => nodeOf(other) === node)) return;
    this.bound(seen);
    seen.streams.set(`${node}-0`, new Stream());
  }

  /** The oldest life of a node that has had later ones goes first: nothing of it is sent again then. */
  private bound(seen: Seen): void {
    while (seen.streams.size >= EPOCHS_MAX) {
      const byNode = new Map<string, string[]>();
      for (const epoch of seen.streams.keys()) byNode.set(nodeOf(epoch), [...(byNode.get(nodeOf(epoch)) ?? []), epoch]);
      const lives = [...byNode.values()].reduce((most, one) => (one.length > most.length ? one : most));
      const oldest = lives.reduce((low, one) => (isEarlier(one, low) ? one : low));
      const stream = seen.streams.get(oldest) as Stream;
      seen.streams.delete(oldest);
      if (!isBeforeAll(oldest)) seen.giveUp({ epoch: oldest, first: stream.reach() + 1, last: null });
      this.forgotten += 1;
    }
  }
}

const nodeOf = (epoch: string): string => epoch.split("-")[0] as string;

/** Life 0 of a node stands before all its lives. */
const isBeforeAll = (epoch: string): boolean => epoch.endsWith("-0");

/** Lives of one node, in their order: its boot epoch in base 36, and the generation behind a dot. */
function isEarlier(one: string, other: string): boolean {
  const [[boot, generation], [otherBoot, otherGeneration]] = [life(one), life(other)];
  return boot < otherBoot || (boot === otherBoot && generation < otherGeneration);
}

function life(epoch: string): [number, number] {
  const [boot = "", generation = "0"] = (epoch.split("-")[1] ?? "").split(".");
  return [Number.parseInt(boot, 36) || 0, Number(generation) || 0];
}

export const isPattern = (name: string): boolean => name.includes("*");

/** Whether a subscription to `room:*`, `*:channel` or `*` takes this channel. */
export function matches(pattern: string, channel: string): boolean {
  const [room, leaf = "*"] = pattern.split(":");
  const [itsRoom, itsLeaf] = channel.split(":");
  return (room === "*" || room === itsRoom) && (leaf === "*" || leaf === itsLeaf);
}
