/** What went wrong, with a stable code, a sentence and the next step. `arqon explain CODE` explains a code. */
export class ArqonError extends Error {
  readonly code: string;
  /** What helps, as one would type it; empty when there is nothing. */
  readonly hint: string;

  constructor(code: string, sentence: string, hint = "") {
    super(sentence);
    this.name = "ArqonError";
    this.code = code;
    this.hint = hint;
  }

  /** Whether a token or a permission is what is missing. */
  get denied(): boolean {
    return this.code === "bus.auth" || this.code === "bus.forbidden";
  }
}

const STATUS = "arqon node status  # shows where the bus listens";

export const badAddress = (url: string): ArqonError =>
  new ArqonError("bus.address", `'${url}' is no address of a bus; it needs to be ws://HOST:PORT or wss://HOST:PORT`, STATUS);

export const unreachable = (url: string, why: string): ArqonError =>
  new ArqonError("bus.unreachable", `no bus at ${url}: ${why}`, STATUS);

export const ended = (url: string, why: string): ArqonError => new ArqonError("bus.closed", `${url}: ${why}`, STATUS);

export const noWelcome = (url: string, withinMs: number): ArqonError =>
  new ArqonError("bus.timeout", `no welcome from ${url} within ${withinMs / 1000} s`, STATUS);

export const noAnswer = (url: string, what: string, withinMs: number): ArqonError =>
  new ArqonError("bus.timeout", `${url} did not answer ${what} within ${withinMs / 1000} s`, STATUS);

export const nobodyAnswered = (target: string, withinMs: number): ArqonError =>
  new ArqonError(
    "bus.request-timeout",
    `nobody answered the request to ${target} within ${withinMs / 1000} s`,
    '{"type": "info", "channel": "ROOM:CHANNEL"}',
  );

/** A handshake answered with an HTTP status. */
export function notABus(url: string, status: number): ArqonError {
  if (status === 401) {
    return new ArqonError("bus.auth", `${url} asks for a bearer token, and this one does not fit`, "connect(url, { token })");
  }
  if (status === 403) {
    return new ArqonError("bus.auth", `${url} does not let this client in (HTTP 403)`, "arqon bus token; bus.origins in arqon.yaml");
  }
  return new ArqonError("bus.unreachable", `${url} answered with HTTP ${status}, not as a bus`, STATUS);
}

/** An `error` frame's payload, or the `metadata.error` of an answer. */
export function toldError(told: unknown, sentence: (message: string) => string = (message) => message): ArqonError {
  const { code, message, hint } = (typeof told === "object" && told !== null ? told : {}) as Record<string, unknown>;
  return new ArqonError(
    typeof code === "string" ? code : "bus.refused",
    sentence(typeof message === "string" ? message : "the bus refused it"),
    typeof hint === "string" ? hint : "",
  );
}

/** What to say when every node of a cluster was tried. */
export function noneOf(failures: ArqonError[]): ArqonError {
  const last = failures[failures.length - 1];
  if (last === undefined) return badAddress("");
  if (failures.length === 1) return last;
  const said = failures.map((failure) => failure.message).join("; ");
  return new ArqonError(last.code, `none of ${failures.length} nodes took this client: ${said}`, last.hint);
}
