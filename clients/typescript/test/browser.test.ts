// The client in headless Chromium, from a page that this test serves.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Proxy, startNode } from "./node.js";

const BUILD = fileURLToPath(new URL("..", import.meta.url));
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

function findChromium(): string | undefined {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const folders = (process.env["PATH"] ?? "").split(path.delimiter);
  return folders
    .flatMap((folder) => names.map((name) => path.join(folder, name)))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const chromium = findChromium();

test("the client in Chromium", { skip: chromium === undefined && "no chromium on this machine" }, async () => {
  const node = await startNode();
  const proxy = await Proxy.before(node.port);
  const profile = await mkdtemp(path.join(tmpdir(), "arqon-chromium-"));
  let reported: (report: unknown) => void = () => undefined;
  const report = new Promise((resolve) => (reported = resolve));

  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://x");
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      if (pathname === "/cut") proxy.cut();
      else if (pathname === "/report") reported(JSON.parse(body));
      else if (pathname === "/") {
        response.setHeader("Content-Type", "text/html");
        response.end('<!doctype html><title>bus</title><script type="module" src="/test/page.js"></script>');
        return;
      } else if (/^\/(src|test)\/[\w.]+\.js$/.test(pathname)) {
        response.setHeader("Content-Type", "text/javascript");
        response.end(readFileSync(path.join(BUILD, pathname)));
        return;
      } else response.statusCode = 404;
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const query = new URLSearchParams({ node: node.url, proxy: proxy.url }).toString();
  const browser = spawn(
    chromium as string,
    [...FLAGS, `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/?${query}`],
    { stdio: "ignore" },
  );
  const gone = new Promise((resolve) => browser.on("exit", resolve));
  try {
    const late = new Promise((_, reject) => setTimeout(reject, 45_000, new Error("no report within 45 s")).unref());
    assert.deepEqual(await Promise.race([report, late]), {
      "publishes and receives": [1, 70_014, "page", "dashboard"],
      "asks and answers": 42,
      "goes on where it was": [[1, 2], [true]],
      "says that there is no bus": "bus.unreachable",
    });
  } finally {
    browser.kill();
    await gone;
    server.closeAllConnections();
    server.close();
    await proxy.shut();
    await node.stop();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});
