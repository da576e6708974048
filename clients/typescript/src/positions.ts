import type { Message } from "./message.js";

/** Channels whose position is remembered; beyond, the one that came first is forgotten. */
export const CHANNELS_MAX = 10_000;
/** Streams per channel: nodes that published there, and their restarts. */
export const EPOCHS_MAX = 64;
/** Stretches per stream that did not come (what this client published itself is among them). */
export const HOLES_MAX = 32;

/** What was seen of a channel: {epoch: highest offset}. */
export type Position = Record<string, number>;

/** Events `first` to `last` of one stream that nobody has any more; `last` null: nobody knows how many. */
export interface Gap {
  epoch: string;
  first: number;
  last: number | null;
}

/** How it went on in one channel after a lost connection was replaced. */
export interface Resumed {
  channel: string;
  /** true: nothing is missing; false: something is, see `gaps`; undefined: nothing was asked, or the node does not say. */
  recovered: boolean | undefined;
  gaps: Gap[];
  /** Events that came after all, before anything new. */
  missed: number;
  /** The node that it goes on at. */
  url: string;
}

/** What was received of one stream: all up to `head`, except the stretches in `holes`. */
class Stream {
  head: number;
  holes: [number, number][] = [];

  constructor(head: number) {
    this.head = head;
  }

  /** false when it was there before. */
  add(offset: number): boolean {
    const head = this.head;
    if (offset > head) {
      if (offset > head + 1) {
        this.holes.push([head + 1, offset - 1]);
        if (this.holes.length > HOLES_MAX) this.holes.shift();
      }
      this.head = offset;
      return true;
    }
    const index = this.holes.findIndex(([first, last]) => first <= offset && offset <= last);
    const hole = this.holes[index];
    if (hole === undefined) return false;
    const rest: [number, number][] = [
      [hole[0], offset - 1],
      [offset + 1, hole[1]],
    ];
    this.holes.splice(index, 1, ...rest.filter(([low, high]) => low <= high));
    return true;
  }
}

/** Per channel: the highest offset of each stream that was received, so that it can go on at any node of the cluster. */
export class Positions {
  forgotten = 0;
  private readonly seen = new Map<string, Map<string, Stream>>();

  /** Note an event; false when it was there before. Events without an epoch are always new. */
  advance(channel: string, message: Message): boolean {
    if (message.epoch === "") return true;
    return this.stream(this.streams(channel), message.epoch, 0).add(message.offset);
  }

  /** The bus says that this was seen, or is gone for good; never a step back. */
  told(channel: string, position: Position): void {
    const streams = this.streams(channel);
    for (const [epoch, offset] of Object.entries(position)) {
      const stream = this.stream(streams, epoch, offset);
      stream.head = Math.max(stream.head, offset);
    }
  }

  /** Go on from here: what the application kept. */
  set(channel: string, position: Position): void {
    this.forget(channel);
    this.told(channel, position);
  }

  of(channel: string): Position {
    const streams = this.seen.get(channel) ?? new Map<string, Stream>();
    return Object.fromEntries([...streams].map(([epoch, stream]) => [epoch, stream.head]));
  }

  known(channel: string): boolean {
    return this.seen.has(channel);
  }

  /** The channels that a subscription to `room:*`, `*:channel` or `*` has brought. */
  under(pattern: string): string[] {
    return [...this.seen.keys()].filter((channel) => matches(pattern, channel) && !isPattern(channel));
  }

  /** What did not come above that position. */
  gaps(channel: string, since: Position): Gap[] {
    const streams = this.seen.get(channel);
    return Object.entries(since).flatMap(([epoch, offset]) =>
      (streams?.get(epoch)?.holes ?? [])
        .filter(([first]) => first > offset)
        .map(([first, last]) => ({ epoch, first, last })),
    );
  }

  forget(channel: string): void {
    this.seen.delete(channel);
  }

  private streams(channel: string): Map<string, Stream> {
    let streams = this.seen.get(channel);
    if (streams === undefined) {
      if (this.seen.size >= CHANNELS_MAX) this.dropFirst(this.seen);
      this.seen.set(channel, (streams = new Map()));
    }
    return streams;
  }

  private stream(streams: Map<string, Stream>, epoch: string, head: number): Stream {
    let stream = streams.get(epoch);
    if (stream === undefined) {
      if (streams.size >= EPOCHS_MAX) this.dropFirst(streams);
      streams.set(epoch, (stream = new Stream(head)));
    }
    return stream;
  }

  private dropFirst(map: Map<string, unknown>): void {
    for (const key of map.keys()) {
      map.delete(key);
      this.forgotten += 1;
      return;
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
