// A bus by itself, in memory: it does what a test says.
import type { BusClient } from "../src/client.js";
import type { WebSocketFactory, WebSocketLike } from "../src/socket.js";

export interface Asked {
  id: string;
  type?: string;
  command: string;
  channel?: string;
  payload?: unknown;
  args: { channel?: string; since?: Record<string, number> };
}

/** `say` sends its client a frame. */
export interface OddSocket {
  bufferedAmount: number;
  say: (frame: object) => void;
}

export const cut = (client: BusClient): void => {
  type Inside = { session: { link: { connection: { closed(code: number, reason: string): void } } } };
  (client as unknown as Inside).session.link.connection.closed(1006, "");
};

/** A bus by itself: `answer` says what comes back for a frame, if anything, or hangs up (null). */
export function oddBus(
  answer: (url: string, command: Asked) => object | null | undefined,
  sockets: OddSocket[] = [],
): WebSocketFactory {
  let count = 0;
  const bus = { type: "system", id: "arq_odd", from: "arqonbus", timestamp: "2026-01-01T00:00:00.000Z", v: 1 };
  return (url) => {
    const socket = { bufferedAmount: 0, onopen: null, onmessage: null, onclose: null, onerror: null } as unknown as {
      -readonly [Key in keyof WebSocketLike]: WebSocketLike[Key];
    };
    const say = (frame: object): void => {
      setImmediate(() => socket.onmessage?.({ data: JSON.stringify({ ...bus, ...frame }) } as never));
    };
    sockets.push(Object.assign(socket, { say }));
    socket.send = (data) => {
      const frame = answer(url, JSON.parse(data));
      if (frame === null) socket.close();
      else if (frame !== undefined) say(frame);
    };
    socket.close = () => setImmediate(() => socket.onclose?.({ code: 1006, reason: "" } as never));
    setImmediate(() => socket.onopen?.({} as never));
    say({ payload: { welcome: "odd", client_id: `c${(count += 1)}` } });
    return socket;
  };
}

export const joinedAt = (id: string): object => ({ type: "response", request_id: id, payload: { success: true, position: {} } });
