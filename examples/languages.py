"""A small quiz in three languages: middlewares find out the language and hand a translator to the handlers.

BOT_TOKEN=123456:ABC-DEF python -m examples.languages
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeAlias

from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router, html
from aiogram.client.default import DefaultBotProperties
from aiogram.dispatcher.flags import get_flag
from aiogram.enums import ParseMode
from aiogram.filters import Command, CommandStart, MagicData
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message, TelegramObject, User
from aiogram.utils.keyboard import InlineKeyboardBuilder

Handler: TypeAlias = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]
Translator: TypeAlias = Callable[..., str]

logger = logging.getLogger(__name__)

NAMES = {"en": "English", "de": "Deutsch", "es": "Español"}
TEXTS: dict[str, dict[str, Any]] = {
    "hello": {"en": "Hello, {name}!", "de": "Hallo, {name}!", "es": "¡Hola, {name}!"},
    "choose": {"en": "Choose a language:", "de": "Wähle eine Sprache:", "es": "Elige un idioma:"},
    "chosen": {"en": "We speak English now.", "de": "Wir sprechen jetzt Deutsch.", "es": "Ahora hablamos español."},
    "question": {"en": "How much is {a} + {b}?", "de": "Wie viel ist {a} + {b}?", "es": "¿Cuánto es {a} + {b}?"},
    "right": {"en": "Right!", "de": "Richtig!", "es": "¡Correcto!"},
    "wrong": {"en": "No, it is {sum}.", "de": "Nein, {sum}.", "es": "No, es {sum}."},
    "score": {
        "en": ("{n} point so far", "{n} points so far"),
        "de": ("bisher {n} Punkt", "bisher {n} Punkte"),
        "es": ("{n} punto hasta ahora", "{n} puntos hasta ahora"),
    },
    "closed": {"en": "The quiz is closed.", "de": "Das Quiz ist geschlossen.", "es": "El juego está cerrado."},
}
QUESTIONS = ((2, 3), (17, 25), (9, 8))


@dataclass(frozen=True)
class Config:
    """What the handlers may want to know."""

    is_open: bool = True
    default_language: str = "en"


class Timer(BaseMiddleware):
    """Around everything: writes down how long an update took."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        started = perf_counter()
        try:
            return await handler(event, data)
        finally:
            logger.debug("%s took %.1f ms", type(event).__name__, 1_000 * (perf_counter() - started))


class Language(BaseMiddleware):
    """Chooses the language: the one that the user has chosen, else the one of the user's Telegram."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        user: User | None = data.get("event_from_user")
        state: FSMContext | None = data.get("state")
        config: Config = data["config"]
        language = (await state.get_data()).get("language") if state else None
        if language is None:
            language = user.language_code if user and user.language_code in NAMES else config.default_language
        data["language"] = language
        data["_"] = translator(language)
        return await handler(event, data)


class Points(BaseMiddleware):
    """Only for handlers with the flag ``points``: keeps the score of the user."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        if not get_flag(data, "points"):
            return await handler(event, data)
        state: FSMContext = data["state"]
        points = (await state.get_data()).get("points", 0)
        earned = await handler(event, data | {"points": points})
        await state.update_data(points=points + (earned or 0))
        return None


def translator(language: str) -> Translator:
    def translate(key: str, /, n: int | None = None, **values: object) -> str:
        text = TEXTS[key][language]
        if isinstance(text, tuple):
            text = text[0 if n == 1 else 1]
        return str(text).format(n=n, **values)

    return translate


router = Router(name="languages")
router.message.middleware(Points())
router.callback_query.middleware(Points())


@router.message(CommandStart())
async def start(message: Message, _: Translator, event_from_user: User) -> Any:
    return message.answer(_("hello", name=html.bold(html.quote(event_from_user.first_name))))


@router.message(Command("language"))
async def choose_language(message: Message, _: Translator, language: str) -> None:
    builder = InlineKeyboardBuilder()
    for code, name in NAMES.items():
        builder.button(text=f"• {name}" if code == language else name, callback_data=f"language:{code}")
    await message.answer(_("choose"), reply_markup=builder.adjust(1).as_markup())


@router.callback_query(F.data.regexp(r"^language:(\w\w)$").group(1).as_("code"))
async def set_language(query: CallbackQuery, code: str, state: FSMContext) -> None:
    await state.update_data(language=code)
    if isinstance(query.message, Message):
        await query.message.edit_text(translator(code)("chosen"))
    await query.answer(NAMES[code])


@router.message(Command("quiz"), MagicData(F.config.is_open.is_(False)))
async def closed(message: Message, _: Translator) -> Any:
    return message.answer(_("closed"))


@router.message(Command("quiz"))
async def ask(message: Message, _: Translator, state: FSMContext) -> None:
    number = (await state.get_data()).get("asked", 0) % len(QUESTIONS)
    a, b = QUESTIONS[number]
    builder = InlineKeyboardBuilder()
    for answer in (a + b - 1, a + b, a + b + 1):
        builder.button(text=str(answer), callback_data=f"answer:{a}:{b}:{answer}")
    await message.answer(_("question", a=a, b=b), reply_markup=builder.as_markup())
    await state.update_data(asked=number + 1)


@router.callback_query(F.data.startswith("answer:"), flags={"points": True})
async def judge(query: CallbackQuery, _: Translator, points: int) -> int:
    a, b, answer = map(int, str(query.data).split(":")[1:])
    is_right = a + b == answer
    verdict = _("right") if is_right else _("wrong", sum=a + b)
    if isinstance(query.message, Message):
        await query.message.edit_text(f"{a} + {b} = {answer}: {verdict}")
    await query.answer(_("score", n=points + is_right))
    return int(is_right)


def setup(dispatcher: Dispatcher) -> None:
    dispatcher["config"] = Config(is_open=os.getenv("QUIZ", "open") == "open")
    dispatcher.update.outer_middleware(Timer())
    dispatcher.message.outer_middleware(Language())
    dispatcher.callback_query.outer_middleware(Language())


async def main() -> None:
    logging.basicConfig(level=logging.DEBUG)
    bot = Bot(os.environ["BOT_TOKEN"], default=DefaultBotProperties(parse_mode=ParseMode.HTML))
    dispatcher = Dispatcher()
    setup(dispatcher)
    dispatcher.include_router(router)
    await dispatcher.start_polling(bot)


if __name__ == "__main__":
    asyncio.run(main())
