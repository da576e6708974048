import { ArqonError, isOurs } from "./errors.js";

/** A token, or a function that is asked for one whenever the client connects or its token is about to end. */
export type TokenSource = string | (() => string | undefined | Promise<string | undefined>);

/** The token or key that a client shows, as it is at the moment. */
export class Token {
  private readonly source: TokenSource | undefined;

  constructor(source: TokenSource | undefined) {
    this.source = source;
  }

  /** Whether another one may come from where this came from. */
  get renews(): boolean {
    return typeof this.source === "function";
  }

  async present(): Promise<string> {
    if (typeof this.source !== "function") return this.source ?? "";
    try {
      return (await this.source()) ?? "";
    } catch (wrong) {
      if (isOurs(wrong)) throw wrong;
      throw new ArqonError("bus.token-source", `the function that gives the token failed: ${String(wrong)}`);
    }
  }
}
