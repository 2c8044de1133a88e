// Sends a broadcast with plain grammY, without a throttler; it comes on standard input, see bench.door.

import { createInterface } from "node:readline";
import { Bot, GrammyError } from "grammy";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value;

const plan = JSON.parse(await line());
const bot = new Bot(plan.token, { client: { apiRoot: plan.url } });
await bot.init();
console.log("ready");
await line();

const found = { sent: 0, throttled: 0, broken: 0, refused: 0 };
async function send(message) {
  for (;;) {
    try {
      await bot.api.sendMessage(message.chat_id, message.text);
      found.sent += 1;
    } catch (error) {
      if (!(error instanceof GrammyError)) found.broken += 1;
      else if (error.error_code !== 429) found.refused += 1;
      else {
        found.throttled += 1;
        if (plan.obeys) {
          await new Promise((resolve) => setTimeout(resolve, 1_000 * error.parameters.retry_after));
          continue;
        }
      }
    }
    return;
  }
}
// So many loops take the messages one after another.
const left = plan.messages[Symbol.iterator]();
async function loop() {
  for (const message of left) await send(message);
}
await Promise.all(Array.from({ length: plan.at_once || plan.messages.length }, loop));
console.log(JSON.stringify(found));
await line();
process.exit(0);
