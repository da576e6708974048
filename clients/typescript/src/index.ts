/**
 * The ArqonMesh bus for TypeScript.
 *
 *     import { connect } from "@arqonmesh/client";
 *     const bus = await connect("ws://127.0.0.1:9100");
 *     bus.on("chat:lobby", (message) => console.log(message.payload));
 *     await bus.join("chat:lobby");
 *     await bus.publish("chat:lobby", { text: "hello" });
 */
export { BusClient, connect } from "./client.js";
export type { ConnectOptions, HistoryBounds, Member, Page, Presence, Receipt, SendOptions } from "./client.js";
export { Channel } from "./channel.js";
export type { Check } from "./channel.js";
export { ArqonError } from "./errors.js";
export type * from "./frames.generated.js";
export type { Handler } from "./mailboxes.js";
export { Message } from "./message.js";
export type { Gap, Position, Resumed } from "./resume.js";
export type { State } from "./session.js";
export { run } from "./program.js";
export { defaultWebSocket } from "./socket.js";
export type { WebSocketFactory, WebSocketLike } from "./socket.js";
export type { TokenSource } from "./token.js";
