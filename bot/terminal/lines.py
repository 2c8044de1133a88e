"""The words and colours of each line: ``News bot ← Anna: /price``.

A line is drawn for a width, by the thread that writes. Names and texts are of others, so each passes ``plain``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiogram.types import CallbackQuery, Chat, Message, Update, User
from aiogram.types.update import UpdateTypeLookupError
from rich.text import Text

from tempogram.api.core.redaction import without_tokens
from tempogram.bot.terminal.names import Names, name_of, title_of
from tempogram.bot.terminal.plain import plain
from tempogram.engine.model.messages import ChatId, Outgoing

NAME_CELLS_MAX = 24
WAITED_MS_SHOWN = 1_000
"""A message that waited for longer says so once it is sent."""


def received(update: Update, bot_id: int, bots: int, names: Names, width: int) -> Text:
    """Say who wrote what to a bot, and how many bots got it."""
    who, chat, said = content_of(update)
    cells = _name_cells(width)
    where = f" ({plain(title_of(chat), cells=cells)})" if chat is not None and chat.type != "private" else ""
    return Text.assemble(
        (names.bot(bot_id, cells=cells), "bold"),
        f" and {bots - 1} more" if bots > 1 else "",
        (" ← ", "green"),
        (plain(who, cells=cells), "cyan"),
        (where, "cyan"),
        ": ",
        plain(without_tokens(said), cells=width),
    )


def sent(message: Outgoing, names: Names, took_ms: int, waited_ms: int, width: int) -> Text:
    """Say what was sent, how long its call took, and how long it waited if that was for long."""
    what = "sent" if message.method == "sendMessage" else f"{message.method} done"
    waited = f", after {in_words(waited_ms)} in the queue" if waited_ms >= WAITED_MS_SHOWN else ""
    said = f"{what}, {took_ms / 1_000:.2f} s{waited}"
    return _to(message.bot_id, message.chat_id, names, (said, "dim"), width)


def waits(message: Outgoing, names: Names, why: str, width: int) -> Text:
    return _to(message.bot_id, message.chat_id, names, (why, "yellow"), width)


def bot_waits(bot_id: int, names: Names, why: str, width: int) -> Text:
    return Text.assemble((names.bot(bot_id, cells=_name_cells(width)), "bold"), ": ", (why, "yellow"))


def failed(event: Mapping[str, Any], names: Names, width: int) -> Text:
    """Say what a log event says of a message that was not sent: see ``EVENTS``."""
    said = EVENTS[event["event"]](event)
    colour = "yellow" if event["event"] in {"throttled", "message_retried"} else "red"
    return _to(event["bot_id"], event.get("chat_id"), names, (plain(said, cells=width), colour), width)


def _throttled(event: Mapping[str, Any]) -> str:
    return f"Telegram says wait {in_words(event['hold_ms'])}"


def _retried(event: Mapping[str, Any]) -> str:
    return f"tries again in {in_words(event['delay_ms'])}, as attempt {event['attempt']} failed: {event['reason']}"


def _dead(event: Mapping[str, Any]) -> str:
    return f"not sent, now a dead letter: {event['reason']}"


def _uncertain(event: Mapping[str, Any]) -> str:
    return f"perhaps sent, and not tried again: {event['reason']}"


EVENTS = {
    "throttled": _throttled,
    "message_retried": _retried,
    "message_dead": _dead,
    "message_uncertain": _uncertain,
}
"""The log events that are a line of the conversation."""


def is_failure(event: Mapping[str, Any]) -> bool:
    """Tell whether a log event is one of ``EVENTS``; one of a module's own may have the same name and other fields."""
    try:
        return "bot_id" in event and bool(EVENTS[event["event"]](event))
    except (KeyError, TypeError):
        return False


def content_of(update: Update) -> tuple[str, Chat | None, str]:
    """Return who an update is from, in which chat, and what it says."""
    try:
        event, kind = update.event, update.event_type
    except UpdateTypeLookupError:
        return "Telegram", None, "something that this version does not know"
    words = kind.replace("_", " ")
    match event:
        case Message():
            said = _said(event)
            return _sender(event), event.chat, f"edits: {said}" if kind.startswith("edited") else said
        case CallbackQuery():
            chat = event.message.chat if event.message is not None else None
            return name_of(event.from_user), chat, f"presses {_button(event)!r}"
        case _:
            user, chat = getattr(event, "from_user", None) or getattr(event, "user", None), getattr(event, "chat", None)
            who = name_of(user) if isinstance(user, User) else "Telegram"
            query = getattr(event, "query", None)
            return who, chat, f"{words}: {query}" if isinstance(query, str) else words


def in_words(ms: int) -> str:
    """Write a time span, rounded.

    >>> in_words(20), in_words(1_400), in_words(12_300), in_words(200_000), in_words(9_000_000)
    ('0.02 s', '1.4 s', '12 s', '3 min', '2.5 h')
    """
    if ms < 1_000:
        return f"{ms / 1_000:.2f} s"
    if ms < 120_000:
        return f"{ms / 1_000:.1f} s" if ms < 10_000 and ms % 1_000 else f"{round(ms / 1_000)} s"
    return f"{round(ms / 60_000)} min" if ms < 7_200_000 else f"{ms / 3_600_000:.1f} h"


def _to(bot_id: int, chat_id: ChatId | None, names: Names, said: tuple[str, str], width: int) -> Text:
    cells = _name_cells(width)
    bot, chat = names.bot(bot_id, cells=cells), names.chat(chat_id, cells=cells)
    to = [(" → ", "blue"), (chat, "cyan")] if chat else []
    return Text.assemble((bot, "bold"), *to, ": ", said)


def _name_cells(width: int) -> int:
    """Leave most of a narrow line to what is said."""
    return max(6, min(NAME_CELLS_MAX, width // 4))


def _sender(message: Message) -> str:
    if message.from_user is not None:
        return name_of(message.from_user)
    return title_of(message.sender_chat or message.chat)


def _said(message: Message) -> str:
    if message.text is not None:
        return message.text
    kind = str(message.content_type.value if hasattr(message.content_type, "value") else message.content_type)
    words = kind.replace("_", " ")
    return f"{words}: {message.caption}" if message.caption else words


def _button(query: CallbackQuery) -> str:
    """Return what stands on the button, as far as its message shows it; else its data."""
    markup = query.message.reply_markup if isinstance(query.message, Message) else None
    rows = markup.inline_keyboard if markup is not None else []
    texts = [button.text for row in rows for button in row if query.data and button.callback_data == query.data]
    return texts[0] if texts else query.data or query.game_short_name or ""
