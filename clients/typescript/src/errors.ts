/** What went wrong, with a stable code, a sentence and the next step. `arqon explain CODE` explains a code. */
export class ArqonError extends Error {
  readonly code: string;
  /** What helps, as one would type it; empty when there is nothing. */
  readonly hint: string;
  /** The bus is busy: the same may be asked again after this pause, on the same connection; 0: that would not help. */
  readonly retryAfterMs: number;

  constructor(code: string, sentence: string, hint = "", retryAfterMs = 0) {
    super(sentence);
    this.name = "ArqonError";
    this.code = code;
    this.hint = hint;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether a token or a permission is what is missing. */
  get denied(): boolean {
    return DENIED.has(this.code);
  }
}

export function isOurs(wrong: unknown): wrong is ArqonError {
  return wrong instanceof Error && wrong.name === "ArqonError";
}

/** Anything that was thrown, as one of ours. */
export const asError = (wrong: unknown): ArqonError => (isOurs(wrong) ? wrong : new ArqonError("bus.unreachable", String(wrong)));

const DENIED: ReadonlySet<string> = new Set([
  "bus.auth",
  "bus.auth-expired",
  "bus.auth-revoked",
  "bus.forbidden",
  "bus.origin",
  "bus.tenant",
]);

const STATUS = "arqon node status  # shows where the bus listens";

export const badAddress = (url: string): ArqonError =>
  new ArqonError("bus.address", `'${url}' is no address of a bus; it needs to be ws://HOST:PORT or wss://HOST:PORT`, STATUS);

export const unreachable = (url: string, why: string): ArqonError =>
  new ArqonError("bus.unreachable", `no bus at ${url}: ${why}`, STATUS);

/** A connection that is over; `closed with 4401 CODE: SENTENCE` says that the token or key is. */
export function ended(url: string, why: string): ArqonError {
  const [, code, sentence] = /^closed with 4401 (bus\.[a-z-]+): (.+)$/s.exec(why) ?? [];
  if (code !== undefined) return new ArqonError(code, `${url} closed this connection: ${sentence}`, "connect again with a newer token or key");
  return new ArqonError("bus.closed", `${url}: ${why}`, "arqon node status; connect(url, { reconnect: true }) connects again");
}

export const noWelcome = (url: string, withinMs: number): ArqonError =>
  new ArqonError("bus.timeout", `no welcome from ${url} within ${withinMs / 1000} s`, STATUS);

export const noAnswer = (url: string, what: string, withinMs: number): ArqonError =>
  new ArqonError("bus.timeout", `${url} did not answer ${what} within ${withinMs / 1000} s`, STATUS);

export const nobodyAnswered = (target: string, withinMs: number): ArqonError =>
  new ArqonError(
    "bus.request-timeout",
    `nobody answered the request to ${target} within ${withinMs / 1000} s`,
    'bus.presence("ROOM:CHANNEL")  // who is there',
  );

/** A handshake answered with an HTTP status; a bus says in the body why: {"error": {code, message, hint}}. */
export function notABus(url: string, status: number, body = ""): ArqonError {
  const told = toldOverHttp(body);
  if (status === 401 || status === 403) {
    const why = told?.message ?? (status === 401 ? "it asks for a token" : "it gives no reason (HTTP 403)");
    const code = told?.code ?? "bus.auth";
    const hint = code === "bus.auth" ? "connect(url, { token })" : told?.hint || `arqon explain ${code}`;
    return new ArqonError(code, `${url} does not let this client in: ${why}`, hint);
  }
  if (told?.code.startsWith("bus.")) return new ArqonError(told.code, `${url} did not take this client: ${told.message}`, told.hint);
  return new ArqonError("bus.unreachable", `${url} answered with HTTP ${status}, not as a bus`, STATUS);
}

export const telemetryInstead = (url: string): ArqonError =>
  new ArqonError("bus.unreachable", `${url} is a node's telemetry, not its bus`, STATUS);

/** The error in the body of a refusal; nothing where it is somebody else's. */
function toldOverHttp(body: string): ArqonError | undefined {
  try {
    const { error } = JSON.parse(body) as { error?: { code?: unknown } | null };
    return typeof error?.code === "string" ? toldError(error) : undefined;
  } catch {
    return undefined;
  }
}

/** An `error` frame's payload, or the `metadata.error` of an answer. */
export function toldError(told: unknown, sentence: (message: string) => string = (message) => message): ArqonError {
  const { code, message, hint, retry_after_ms: pause } = (typeof told === "object" && told !== null ? told : {}) as Record<string, unknown>;
  return new ArqonError(
    typeof code === "string" ? code : "bus.refused",
    sentence(typeof message === "string" ? message : "the bus refused it"),
    typeof hint === "string" ? forAProgram(hint) : "",
    typeof pause === "number" && pause > 0 ? pause : 0,
  );
}

/** The bus shows its clients the frame that would be right; a program has a method for it. */
function forAProgram(hint: string): string {
  let frame: Record<string, unknown>;
  try {
    frame = JSON.parse(hint) as Record<string, unknown>;
  } catch {
    return hint;
  }
  if (typeof frame !== "object" || frame === null || typeof frame["type"] !== "string") return hint;
  const { type, ...rest } = frame as { type: string; channel?: unknown; payload?: unknown; command?: unknown; args?: unknown };
  const channel = JSON.stringify(rest.channel ?? "ROOM:CHANNEL");
  if (type === "authenticate") return "connect(url, { token }) with a token or key that may";
  if (type === "join" || type === "leave") return `bus.${type}(${channel})`;
  if (type === "event") return `bus.publish(${channel}, ${JSON.stringify(rest.payload ?? {})})`;
  if (type === "private") return `bus.private("arq_...", ${JSON.stringify(rest.payload ?? {})})`;
  const [name, args] = type === "command" ? [rest.command, rest.args ?? {}] : [type, rest];
  return `bus.command(${JSON.stringify(name)}${Object.keys(args as object).length > 0 ? `, ${JSON.stringify(args)}` : ""})`;
}

/** What to say when every node of a cluster was tried. */
export function noneOf(failures: ArqonError[]): ArqonError {
  const last = failures[failures.length - 1];
  if (last === undefined) return badAddress("");
  if (failures.length === 1) return last;
  const said = failures.map((failure) => failure.message).join("; ");
  return new ArqonError(last.code, `none of ${failures.length} nodes took this client: ${said}`, last.hint);
}
