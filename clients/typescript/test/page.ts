// Runs in a browser: the same client, over the browser's own WebSocket. Reports each check to whoever served it.
import { ArqonError, connect } from "../src/index.js";

declare const location: { search: string };
const asked = new URLSearchParams(location.search);
const [node, wire] = [asked.get("node") as string, asked.get("proxy") as string];

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`${what} did not come true`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const tell = (path: string, body: unknown = null): Promise<unknown> =>
  fetch(path, { method: "POST", body: JSON.stringify(body) });

const checks: Record<string, () => Promise<unknown>> = {
  async "publishes and receives"() {
    const [publisher, member] = [await connect(node), await connect(node, { name: "page", kind: "dashboard" })];
    const seen: unknown[] = [];
    member.on("page:here", (message) => void seen.push(message.payload));
    await member.join("page:here");
    const receipt = await publisher.send("page:here", { é: [1, "x".repeat(70_000)] });
    await until("the message", () => seen.length === 1);
    const members = await publisher.presence("page:here");
    await publisher.close();
    await member.close();
    return [receipt.delivered, JSON.stringify(seen).length, members[0]?.name, members[0]?.type];
  },
  async "asks and answers"() {
    const [asker, agent] = [await connect(node), await connect(node)];
    agent.onRequest((question) => (question.payload as number) + 1);
    const answer = await asker.request(agent.clientId, 41);
    await asker.close();
    await agent.close();
    return answer.payload;
  },
  async "goes on where it was"() {
    const [publisher, member] = [await connect(node), await connect(wire)];
    const seen: unknown[] = [];
    const resumed: unknown[] = [];
    member.on("page:resume", (message) => void seen.push(message.payload));
    member.onResume((one) => void resumed.push(one.recovered));
    await member.join("page:resume");
    await publisher.send("page:resume", 1);
    await until("the first", () => seen.length === 1);
    await tell("/cut");
    await publisher.send("page:resume", 2);
    await until("the second", () => seen.length === 2);
    await until("the news of it", () => resumed.length === 1);
    await publisher.close();
    await member.close();
    return [seen, resumed];
  },
  async "says that there is no bus"() {
    try {
      await connect("ws://127.0.0.1:1");
      return "connected";
    } catch (wrong) {
      return wrong instanceof ArqonError && wrong.code;
    }
  },
};

const report: Record<string, unknown> = {};
for (const [name, check] of Object.entries(checks)) {
  try {
    report[name] = await check();
  } catch (wrong) {
    report[name] = `failed: ${String(wrong)}`;
  }
}
await tell("/report", report);
