// Made by scripts/generate.mjs from docs/spec/bus.schema.json; `npm run generate` makes it anew.

/** A message to a channel, as each member gets it. */
export interface EventFrame {
  type: "event";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id: string;
  /** The id of a client, as its welcome told it, or `arqonbus`. */
  from: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp: string;
  /** The version of the canonical envelope. */
  v: 1;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  /** The room; `ROOM:CHANNEL` names both at once. */
  room: string;
  /** The channel; `ROOM:CHANNEL` names both at once. */
  channel: string;
  /** Any JSON value. The bus passes its bytes on as they came. */
  payload: unknown;
  /** The applications' own, except `echo` and `ack`, which ask the bus for something. */
  metadata?: Record<string, unknown>;
  /** Names the publishing node and this life of its log; see Streams. */
  epoch?: string;
  /** Counts the events of this channel within `epoch`, from 1 and without gaps. */
  offset?: number;
}

/** An event of a machine rather than a person; without a channel it goes to `integriguard:telemetry-stream`. */
export interface TelemetryFrame {
  type: "telemetry";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id: string;
  /** The id of a client, as its welcome told it, or `arqonbus`. */
  from: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp: string;
  /** The version of the canonical envelope. */
  v: 1;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  /** The room; `ROOM:CHANNEL` names both at once. */
  room: string;
  /** The channel; `ROOM:CHANNEL` names both at once. */
  channel: string;
  /** Any JSON value. The bus passes its bytes on as they came. */
  payload: unknown;
  /** The applications' own, except `echo` and `ack`, which ask the bus for something. */
  metadata?: Record<string, unknown>;
  /** Names the publishing node and this life of its log; see Streams. */
  epoch?: string;
  /** Counts the events of this channel within `epoch`, from 1 and without gaps. */
  offset?: number;
}

/** A message to some clients, past every channel and history. */
export interface PrivateFrame {
  type: "private";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id: string;
  /** The id of a client, as its welcome told it, or `arqonbus`. */
  from: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp: string;
  /** The version of the canonical envelope. */
  v: 1;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  /** The clients that a private message is for. */
  to: string[];
  /** Any JSON value. The bus passes its bytes on as they came. */
  payload: unknown;
  /** The applications' own, except `echo` and `ack`, which ask the bus for something. */
  metadata?: Record<string, unknown>;
}

/** What the bus says by itself: the welcome, who came and went, what happens to the mesh. */
export interface SystemFrame {
  type: "system";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id: string;
  /** The id of a client, as its welcome told it, or `arqonbus`. */
  from: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp: string;
  /** The version of the canonical envelope. */
  v: 1;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  payload: Record<string, unknown>;
  /** The room; `ROOM:CHANNEL` names both at once. */
  room?: string;
  /** The channel; `ROOM:CHANNEL` names both at once. */
  channel?: string;
}

/** The answer to a command, and the acknowledgement of a message that asked for one. */
export interface ResponseFrame {
  type: "response";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id: string;
  /** The id of a client, as its welcome told it, or `arqonbus`. */
  from: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp: string;
  /** The version of the canonical envelope. */
  v: 1;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  status: "success";
  payload: Record<string, unknown>;
  command?: string;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  request_id?: string;
}

/** Why a frame was not acted upon. */
export interface ErrorFrame {
  type: "error";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id: string;
  /** The id of a client, as its welcome told it, or `arqonbus`. */
  from: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp: string;
  /** The version of the canonical envelope. */
  v: 1;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  status: "error";
  payload: ErrorDetails;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  request_id?: string;
}

/** A command; the table of commands says which there are and what they take. Its name may also stand in `type`, with the arguments beside it: {"type": "join", "channel": "telemetry:host"}. */
export interface CommandFrame {
  type: "command";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id?: string;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp?: string;
  /** The version of the canonical envelope. */
  v?: 1;
  command: string;
  args?: Record<string, unknown>;
  /** The room; `ROOM:CHANNEL` names both at once. */
  room?: string;
  /** The channel; `ROOM:CHANNEL` names both at once. */
  channel?: string;
}

/** A message to a channel; without room and channel, to the client's first subscription. */
export interface PublishEventFrame {
  type: "event";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id?: string;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp?: string;
  /** The version of the canonical envelope. */
  v?: 1;
  /** Any JSON value. The bus passes its bytes on as they came. */
  payload: unknown;
  /** The room; `ROOM:CHANNEL` names both at once. */
  room?: string;
  /** The channel; `ROOM:CHANNEL` names both at once. */
  channel?: string;
  metadata?: PublishMetadata;
}

/** A message to a channel, from a machine. */
export interface PublishTelemetryFrame {
  type: "telemetry";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id?: string;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp?: string;
  /** The version of the canonical envelope. */
  v?: 1;
  /** Any JSON value. The bus passes its bytes on as they came. */
  payload: unknown;
  /** The room; `ROOM:CHANNEL` names both at once. */
  room?: string;
  /** The channel; `ROOM:CHANNEL` names both at once. */
  channel?: string;
  metadata?: PublishMetadata;
}

/** A message to some clients. */
export interface SendPrivateFrame {
  type: "private";
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  id?: string;
  /** Printable ASCII. The bus makes `arq_` and a ULID, rising on each node. */
  correlation_id?: string;
  /** ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`. */
  timestamp?: string;
  /** The version of the canonical envelope. */
  v?: 1;
  to: string[] | string;
  /** Any JSON value. The bus passes its bytes on as they came. */
  payload: unknown;
  metadata?: PublishMetadata;
}

/** The first problem, a hint, and all problems. */
export interface ErrorDetails {
  code: string;
  field: string;
  message: string;
  hint: string;
  problems?: Problem[];
  retry_after_ms?: number;
}

/** One thing that is wrong with a frame. */
export interface Problem {
  code: string;
  field: string;
  message: string;
}

/** What a publisher may ask of the bus; everything else in it is the applications' own. */
export interface PublishMetadata {
  echo?: boolean;
  ack?: boolean;
}

/** Every frame that the bus sends. */
export type Received = EventFrame | TelemetryFrame | PrivateFrame | SystemFrame | ResponseFrame | ErrorFrame;

/** Every frame that a client sends. */
export type Sent = PublishEventFrame | PublishTelemetryFrame | SendPrivateFrame | CommandFrame;
