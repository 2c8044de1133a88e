"""Recipes by inline query: type @the_bot tomato in any chat. Handlers return what is to be answered.

BOT_TOKEN=123456:ABC-DEF python -m examples.inline
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.methods import AnswerInlineQuery, EditMessageText, SendMessage, TelegramMethod
from aiogram.types import (
    CallbackQuery,
    ChosenInlineResult,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InlineQuery,
    InlineQueryResultArticle,
    InlineQueryResultsButton,
    InputTextMessageContent,
    LinkPreviewOptions,
    Message,
)
from aiogram.utils.deep_linking import create_start_link

PAGE = 2


@dataclass(frozen=True)
class Recipe:
    """One dish."""

    key: str
    name: str
    ingredients: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{self.name}: {', '.join(self.ingredients)}"


RECIPES = (
    Recipe("soup", "Tomato soup", ("tomato", "onion", "cream")),
    Recipe("salad", "Greek salad", ("tomato", "feta", "olives")),
    Recipe("pasta", "Pasta al pomodoro", ("pasta", "tomato", "basil")),
    Recipe("cake", "Apple cake", ("apple", "flour", "butter")),
)
BY_KEY = {recipe.key: recipe for recipe in RECIPES}

router = Router(name="inline")


def count_chosen(inline_message_id: str | None = None, key: str = "") -> list[tuple[str, int]]:
    """Count how often each recipe was sent; with an id, once more, unless that message is counted already."""
    with closing(sqlite3.connect(os.getenv("INLINE_DB", "inline.db"))) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS chosen (inline_message_id PRIMARY KEY, key)")
        if inline_message_id:
            db.execute("INSERT OR IGNORE INTO chosen VALUES (?, ?)", (inline_message_id, key))
        return db.execute("SELECT key, count(*) FROM chosen GROUP BY key ORDER BY count(*) DESC, key").fetchall()


def found(words: str) -> list[Recipe]:
    wanted = words.lower().split()
    return [recipe for recipe in RECIPES if all(word in recipe.text.lower() for word in wanted)]


def like_button(recipe: Recipe) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [
                InlineKeyboardButton(text="👍", callback_data=f"like:{recipe.key}"),
                InlineKeyboardButton(text="More with this", switch_inline_query_current_chat=recipe.ingredients[0]),
            ]
        ]
    )


def article(recipe: Recipe) -> InlineQueryResultArticle:
    return InlineQueryResultArticle(
        id=recipe.key,
        title=recipe.name,
        description=", ".join(recipe.ingredients),
        input_message_content=InputTextMessageContent(message_text=recipe.text),
        reply_markup=like_button(recipe),
    )


@router.inline_query(F.query.len() < 3)
async def too_short(query: InlineQuery) -> AnswerInlineQuery:
    button = InlineQueryResultsButton(text="Type at least three letters", start_parameter="help")
    return query.answer([], button=button, cache_time=1, is_personal=True)


@router.inline_query()
async def search(query: InlineQuery) -> AnswerInlineQuery:
    begin = int(query.offset or 0)
    recipes = found(query.query)
    page = [article(recipe) for recipe in recipes[begin : begin + PAGE]]
    following = str(begin + PAGE) if begin + PAGE < len(recipes) else ""
    return query.answer(page, cache_time=60, next_offset=following)  # type: ignore[arg-type]


@router.chosen_inline_result(F.inline_message_id)
async def count_choice(result: ChosenInlineResult, bot: Bot) -> None:
    recipe = BY_KEY[result.result_id]
    count_chosen(result.inline_message_id, recipe.key)
    await bot.edit_message_text(
        f"{recipe.text}\n(chosen by {result.from_user.first_name})",
        inline_message_id=result.inline_message_id,
        reply_markup=like_button(recipe),
    )


@router.message(CommandStart(deep_link=True, magic=F.args == "help"))
async def explain(message: Message, bot: Bot) -> SendMessage:
    me = await bot.me()
    return message.answer(f"Type @{me.username} and an ingredient, in any chat.")


@router.message(CommandStart())
async def start(message: Message, bot: Bot) -> SendMessage:
    button = InlineKeyboardButton(text="Search here", switch_inline_query_current_chat="")
    link = await create_start_link(bot, "help")
    return message.answer(
        f"I know {len(RECIPES)} recipes. How it works: {link}",
        reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]),
        link_preview_options=LinkPreviewOptions(is_disabled=True),
    )


@router.message(Command("recipe"))
async def show(message: Message, command: CommandObject) -> TelegramMethod[Any]:
    recipes = found(command.args or "")
    if not recipes:
        return message.reply("I know nothing like that.")
    first, *others = recipes
    more = f"\n(and {len(others)} more)" if others else ""
    return message.answer(first.text + more, reply_markup=like_button(first))


@router.message(Command("top"))
async def top(message: Message) -> SendMessage:
    lines = [f"{place}. {BY_KEY[key].name} ({count})" for place, (key, count) in enumerate(count_chosen(), 1)]
    return message.answer("\n".join(lines) or "Nothing has been chosen yet.")


@router.callback_query(F.data.startswith("like:"), F.message.as_("message"))
async def like(query: CallbackQuery, message: Message) -> EditMessageText | None:
    recipe = BY_KEY[str(query.data).removeprefix("like:")]
    line = f"👍 {query.from_user.first_name}"
    if line in (message.text or ""):
        await query.answer("You like it already", show_alert=True)
        return None
    await query.answer()
    return message.edit_text(f"{message.text}\n{line}", reply_markup=like_button(recipe))


async def main() -> None:
    async with Bot(os.environ["BOT_TOKEN"]) as bot:
        dispatcher = Dispatcher()
        dispatcher.include_router(router)
        await dispatcher.start_polling(bot, close_bot_session=False)


if __name__ == "__main__":
    asyncio.run(main())
