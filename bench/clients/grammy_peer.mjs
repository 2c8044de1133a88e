// Sends a plan with grammY, its throttler and auto-retry; the plan comes on standard input, see bench.peers.

import { createInterface } from "node:readline";
import { autoRetry } from "@grammyjs/auto-retry";
import { apiThrottler } from "@grammyjs/transformer-throttler";
import { Bot } from "grammy";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value;

const plan = JSON.parse(await line());
const bots = new Map();
for (const [number, token] of Object.entries(plan.tokens)) {
  const bot = new Bot(token, { client: { apiRoot: plan.url } });
  // Its defaults, the group's with the plan's window.
  const group = {
    maxConcurrent: 1,
    minTime: (1_000 * plan.group_window_s) / 60,
    reservoir: 20,
    reservoirRefreshAmount: 20,
    reservoirRefreshInterval: 1_000 * plan.group_window_s,
  };
  bot.api.config.use(apiThrottler({ group }));
  // Installed last it is the outer one, so that a retry passes the throttler again.
  bot.api.config.use(autoRetry());
  bots.set(Number(number), bot);
}
await Promise.all([...bots.values()].map((bot) => bot.init()));
console.log("ready");
await line();

const start = performance.now();
async function send(message) {
  const wait = start + 1_000 * message.at_s - performance.now();
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  try {
    await bots.get(message.bot).api.sendMessage(message.chat_id, message.text);
    return 1;
  } catch {
    return 0;
  }
}
const sent = await Promise.all(plan.messages.map(send));
console.log(JSON.stringify({ sent: sent.reduce((sum, one) => sum + one, 0) }));
await line();
process.exit(0);
