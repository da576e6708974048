// A real node in a temporary directory, and a proxy before it whose connections a test can cut or freeze.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
/** The `arqon` command; a JSON list where it is more than one word. */
const ARQON: string[] = JSON.parse(process.env["ARQON_COMMAND"] ?? '["arqon"]') as string[];

export interface TestNode {
  url: string;
  port: number;
  stop(): Promise<void>;
}

async function arqon(...args: string[]): Promise<unknown> {
  const [command, ...first] = ARQON as [string, ...string[]];
  const { stdout } = await run(command, [...first, ...args, "--json"], { timeout: 60_000 });
  return (JSON.parse(stdout) as { data: unknown }).data;
}

/** Start a node whose bus listens on a free port of the loopback. */
export async function startNode(): Promise<TestNode> {
  const folder = await mkdtemp(path.join(tmpdir(), "arqon-ts-"));
  const at = ["--data-dir", path.join(folder, "node")];
  const any = "127.0.0.1:0";
  await arqon("init", "--cluster", "sdk", "--quic", any, "--bus", any, "--http", any, "--telemetry", any, ...at);
  await arqon("node", "start", "--detach", ...at);
  const stop = async (): Promise<void> => {
    await arqon("node", "stop", ...at);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const url = ((await arqon("node", "status", ...at)) as { bus: string }).bus;
    return { url, port: Number(new URL(url).port), stop };
  } catch (wrong) {
    await stop();
    throw wrong;
  }
}

/** A TCP proxy: `cut` ends all connections, `freeze` leaves them open and says nothing any more. */
export class Proxy {
  private readonly server: net.Server;
  private readonly pairs = new Set<[net.Socket, net.Socket]>();
  accepted = 0;

  private constructor(target: number) {
    this.server = net.createServer((client) => {
      this.accepted += 1;
      const upstream = net.connect(target, "127.0.0.1");
      const pair: [net.Socket, net.Socket] = [client, upstream];
      this.pairs.add(pair);
      client.pipe(upstream);
      upstream.pipe(client);
      for (const end of pair) {
        end.on("error", () => undefined);
        end.on("close", () => {
          pair.forEach((one) => one.destroy());
          this.pairs.delete(pair);
        });
      }
    });
  }

  static async before(target: number): Promise<Proxy> {
    const proxy = new Proxy(target);
    await new Promise<void>((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as net.AddressInfo).port}`;
  }

  cut(): void {
    for (const [client] of this.pairs) client.destroy();
  }

  freeze(): void {
    for (const [client, upstream] of this.pairs) {
      client.unpipe(upstream);
      upstream.unpipe(client);
      client.resume();
      upstream.resume();
    }
  }

  /** No new connections. */
  async shut(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

/** Resolves as soon as it is true; rejects after ten seconds. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`${what} did not come true`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
