/** What was seen of a channel: {epoch: offset}, up to which nothing is missing. */
export type Position = Record<string, number>;

/** Events `first` to `last` of one stream that nobody has any more; `last` null: nobody knows how many. */
export interface Gap {
  epoch: string;
  first: number;
  last: number | null;
}

/** How it goes on in one channel after a lost connection was replaced, or after the bus dropped something. */
export interface Resumed {
  channel: string;
  /** true: nothing is missing; false: something is, see `gaps`; undefined: nothing was asked, or the node does not say. */
  recovered: boolean | undefined;
  gaps: Gap[];
  /** Events that came after all, before anything new. */
  missed: number;
  /** The node that it goes on at. */
  url: string;
  /**
   * Events that this client has seen and this node has not, though the life of the node that published them is over:
   * others may never see them.
   */
  lost: Gap[];
}

export const resumed = (channel: string, url: string, recovered: boolean | undefined, more: Partial<Resumed> = {}): Resumed => ({
  channel,
  recovered,
  gaps: [],
  missed: 0,
  url,
  lost: [],
  ...more,
});
