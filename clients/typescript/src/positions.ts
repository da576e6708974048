import type { Message } from "./message.js";
import type { Gap, Position } from "./resume.js";
import { EPOCHS_MAX, HOLES_MAX, Seen, Stream, isBeforeAll, isEarlier, nodeOf, type Stretch } from "./streams.js";

/** Channels whose position is remembered; beyond, the one that came first is forgotten. */
export const CHANNELS_MAX = 10_000;
/** Characters of a node's id that the names of its streams begin with. */
const NODE_LENGTH = 10;

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
    seen.asked = undefined;
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

  /** Up to which nothing is missing. */
  of(channel: string): Position {
    const seen = this.seen.get(channel);
    if (seen?.asked !== undefined) return { ...seen.asked };
    const streams = seen?.streams ?? new Map<string, Stream>();
    return Object.fromEntries([...streams].filter(([, one]) => one.named).map(([epoch, one]) => [epoch, one.reach()]));
  }

  /**
   * The position to go on from. It stays the position until the answer is whole: what comes on the way names later lives
   * of nodes, and who names those counts as told of what the answer would have said of earlier ones.
   */
  asking(channel: string): Position {
    const seen = this.seen.get(channel);
    if (seen === undefined) return {};
    seen.asked = this.of(channel);
    return { ...seen.asked };
  }

  known(channel: string): boolean {
    return this.seen.has(channel);
  }

  /** Whether all that was missed has come on this connection. */
  isLive(channel: string): boolean {
    return this.seen.get(channel)?.liveAt === this.connection;
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

  /**
   * All there is up to these heads has come: what is not here by now is missing, and what follows is live. `doubts`:
   * streams of which a gap without an end was told; those that the bus has forgotten are named no more.
   */
  missTo(channel: string, position: Position, doubts: ReadonlyMap<string, Gap> = new Map()): void {
    const seen = this.seen.get(channel);
    if (seen === undefined) return;
    seen.liveAt = this.connection;
    for (const [epoch, stream] of seen.streams) stream.named &&= !doubts.has(epoch) || epoch in position;
    for (const [epoch, head] of Object.entries(position)) {
      const stream = seen.streams.get(epoch) ?? this.noteStream(seen, epoch, head);
      if (head > stream.head) {
        stream.holes.push([stream.head + 1, head]);
        stream.head = head;
      }
    }
  }

  /** Nobody could say what is missing up to here: the next event of each stream shows it. What follows is live. */
  goOnBlindly(channel: string): void {
    const seen = this.seen.get(channel);
    if (seen === undefined) return;
    seen.liveAt = this.connection;
    seen.asked = undefined;
    for (const stream of seen.streams.values()) stream.blind = true;
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
    seen.asked = undefined;
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

  /** One that an answer names first: owed, unless it was over before what is known of its node began. */
  private noteStream(seen: Seen, epoch: string, head: number): Stream {
    const lives = [...seen.streams.keys()].filter((other) => nodeOf(other) === nodeOf(epoch));
    const owed = seen.exact && (lives.length === 0 || !lives.every((other) => isEarlier(epoch, other)));
    this.bound(seen);
    const stream = new Stream(owed ? 0 : head);
    seen.streams.set(epoch, stream);
    return stream;
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

export const isPattern = (name: string): boolean => name.includes("*");

/** Whether a subscription to `room:*`, `*:channel` or `*` takes this channel. */
export function matches(pattern: string, channel: string): boolean {
  const [room, leaf = "*"] = pattern.split(":");
  const [itsRoom, itsLeaf] = channel.split(":");
  return (room === "*" || room === itsRoom) && (leaf === "*" || leaf === itsLeaf);
}
