import type { BusClient, SendOptions, Receipt } from "./client.js";
import type { Handler } from "./mailboxes.js";
import type { Message } from "./message.js";
import type { Position, Resumed } from "./resume.js";

/** Whether a payload is of a type: what `zod`'s or `ajv`'s checks can be made into in a line. */
export type Check<Body> = (payload: unknown) => payload is Body;

/** A channel whose payloads have one type; with a check, what does not pass it reaches nobody. */
export class Channel<Body> {
  readonly name: string;
  /** Messages that did not pass the check. */
  rejected = 0;
  private readonly bus: BusClient;
  private readonly check: Check<Body> | undefined;

  constructor(bus: BusClient, name: string, check?: Check<Body>) {
    this.bus = bus;
    this.name = name;
    this.check = check;
  }

  join(since?: Position): Promise<Resumed> {
    return this.bus.join(this.name, since === undefined ? {} : { since });
  }

  publish(body: Body, options: SendOptions = {}): Promise<void> {
    return this.bus.publish(this.name, body, options);
  }

  send(body: Body, options: SendOptions = {}): Promise<Receipt> {
    return this.bus.send(this.name, body, options);
  }

  on(handler: Handler<Message<Body>>): () => void {
    return this.bus.on(this.name, (message) => (this.fits(message) ? handler(message) : undefined));
  }

  async *messages(): AsyncGenerator<Message<Body>, void, undefined> {
    for await (const message of this.bus.messages(this.name)) {
      if (this.fits(message)) yield message;
    }
  }

  private fits(message: Message): message is Message<Body> {
    if (this.check === undefined || this.check(message.payload)) return true;
    this.rejected += 1;
    return false;
  }
}
