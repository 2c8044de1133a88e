// grammY against a Bot API at an address: prints what it understood, one line each.
//
// node grammy.mjs URL TOKEN [--door]
//
// Through the door a message to a group that has moved is sent on, and a 429 may say how much of the hold is left.

import { Bot, GrammyError, InlineKeyboard, InputFile } from "grammy";

const [url, token, ...options] = process.argv.slice(2);
const isDoor = options.includes("--door");
const UPLOAD = Buffer.alloc(70_000, "x");
const [THROTTLED, BLOCKED, MIGRATED] = [501, 502, -503];
const YES = new InlineKeyboard().text("Yes", "y");

function understood(what, holds) {
  if (!holds) {
    console.error(`not understood: ${what}`);
    process.exit(1);
  }
  console.log(what);
}

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    if (error instanceof GrammyError) return error;
    throw error;
  }
  return undefined;
}

const bot = new Bot(token, { client: { apiRoot: url } });
await bot.init();
understood("getMe", bot.botInfo.username === "other_bot");

// Polls until a user has sent /start and pressed the button under the answer.
await new Promise((resolve, reject) => {
  const late = setTimeout(() => reject(new Error("nobody spoke")), 20_000);
  bot.command("start", async (ctx) => {
    const answer = await ctx.reply(`hello ${ctx.from.first_name}`, { reply_markup: YES });
    understood("polling: /start came, an answer went", answer.text === "hello Anna");
  });
  bot.callbackQuery("y", async (ctx) => {
    understood("a pressed button", ctx.callbackQuery.message.text === "hello Anna");
    await ctx.answerCallbackQuery("thank you");
    const edited = await ctx.editMessageText("you pressed it");
    understood("an edit", edited.text === "you pressed it");
    clearTimeout(late);
    resolve();
  });
  bot.catch(reject);
  bot.start({ timeout: 5 }).catch(reject);
});
await bot.stop();

const sent = await bot.api.sendDocument(7, new InputFile(UPLOAD, "x.bin"), { caption: "look" });
understood("an upload", sent.document.file_size === UPLOAD.length && sent.caption === "look");
const again = await bot.api.sendDocument(8, sent.document.file_id);
understood("the same file by its id", again.document.file_id === sent.document.file_id);
const album = await bot.api.sendMediaGroup(
  -5,
  ["a", "b"].map((name) => ({ type: "document", media: new InputFile(UPLOAD, name) })),
);
understood("an album of uploads", new Set(album.map((item) => item.media_group_id)).size === 1);

const throttled = await refusal(() => bot.api.sendMessage(THROTTLED, "x"));
const waits = isDoor ? [1, 2, 3] : [3];
understood("a 429", throttled?.error_code === 429 && waits.includes(throttled.parameters.retry_after));
const blocked = await refusal(() => bot.api.sendMessage(BLOCKED, "x"));
understood("a 403", blocked?.error_code === 403 && blocked.description.includes("blocked"));
let moved;
const migrated = await refusal(async () => (moved = await bot.api.sendMessage(MIGRATED, "x")));
if (migrated) moved = await bot.api.sendMessage(migrated.parameters.migrate_to_chat_id, "x");
understood("a migration", moved.message_id > 0 && (!isDoor || moved.chat.id !== MIGRATED));
const message = await bot.api.sendMessage(9, "x");
const unchanged = await refusal(() => bot.api.editMessageText(9, message.message_id, "x"));
understood("a 400", unchanged?.error_code === 400 && unchanged.description.includes("not modified"));
