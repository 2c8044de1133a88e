"""Lets users say what their time zone is, and whether the bot may write of its own accord; in private chats.

    /timezone Berlin   sets the time zone, by a city or an IANA name; alone it shows the present one
    /stop              no campaign writes to the chat any more; answers are still sent
    /start             they may write again; it is passed on to the other behaviours, unless ``start`` is set

    {"preferences": {"stop": "Bye, {first_name}."}}

Each text is a template with the fields of ``commands``, and ``{zone}`` and ``{time}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.filters import Filter
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.api.usecases.chats import opt_in, opt_out
from tempogram.bot.behaviours.commands import FIELDS, command_of, fill
from tempogram.bot.behaviours.cutting import cut
from tempogram.engine.closing.closer import Closer
from tempogram.engine.model.zones import zone_of
from tempogram.engine.ports import Clock, Ledger
from tempogram.engine.selection.zones import find_zone
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import Chats

NAME = "preferences"

TEMPLATES: Mapping[str, str] = {
    "zone_set": "Your time zone is {zone} now; it is {time} there.",
    "zone_shown": "Your time zone is {zone}; it is {time} there.",
    "zone_missing": "I do not know your time zone. Write /timezone and a large city in it, as in /timezone Berlin.",
    "zone_unknown": "I do not know the time zone of {args}. Write another large city in it, as in /timezone Berlin.",
    "stop": "I write only when you write to me from now on. /start changes that.",
}
"""The default texts. ``start`` has none: without it, /start is passed on."""

SETTINGS = (*TEMPLATES, "start")


class IsCommand(Filter):
    """Matches one command in a private chat."""

    def __init__(self, command: str) -> None:
        self._command = command

    async def __call__(self, message: Message, registered: RegisteredBot) -> bool:
        return message.chat.type == "private" and command_of(message, registered) == self._command


def router() -> Router:
    made = Router(name=NAME)
    made.message.register(set_zone, F.text, IsCommand("timezone"))
    made.message.register(stop, F.text, IsCommand("stop"))
    made.message.register(start, F.text, IsCommand("start"))
    return made


async def set_zone(
    message: Message, registered: RegisteredBot, config: Mapping[str, str], chats: Chats, clock: Clock
) -> SendMessage:
    wanted = FIELDS["args"](message, registered)
    if not wanted:
        chat = await chats.get(registered.bot_id, message.chat.id)
        present = None if chat is None else chat.time_zone
        return answer("zone_shown" if present else "zone_missing", message, registered, config, _fields(present, clock))
    zone = find_zone(wanted)
    if zone is None:
        return answer("zone_unknown", message, registered, config)
    await chats.set_facts(registered.bot_id, [ChatFacts(chat_id=message.chat.id, time_zone=zone)])
    return answer("zone_set", message, registered, config, _fields(zone, clock))


async def stop(
    message: Message,
    registered: RegisteredBot,
    config: Mapping[str, str],
    chats: Chats,
    ledger: Ledger,
    closer: Closer,
    clock: Clock,
) -> SendMessage:
    await opt_out(chats, ledger, closer, registered.bot_id, message.chat.id, now_ms=clock())
    return answer("stop", message, registered, config)


async def start(message: Message, registered: RegisteredBot, config: Mapping[str, str], chats: Chats) -> SendMessage:
    await opt_in(chats, registered.bot_id, message.chat.id)
    if "start" not in config:
        raise SkipHandler
    return answer("start", message, registered, config)


def check(config: Mapping[str, Any]) -> None:
    for name, template in config.items():
        if name not in SETTINGS:
            raise Refusal(f"{short(name)} is not a setting of preferences; choose from {', '.join(SETTINGS)}")
        if not isinstance(template, str) or not template.strip():
            raise Refusal(f"{name} of preferences is {short(template)}; it must be a non-empty text")


def answer(
    name: str,
    message: Message,
    registered: RegisteredBot,
    config: Mapping[str, str],
    fields: Mapping[str, str] | None = None,
) -> SendMessage:
    template = config.get(name) or TEMPLATES[name]
    for field, value in (fields or {}).items():
        template = template.replace(f"{{{field}}}", value)
    # Without markup: a user's name may hold a stray character of it.
    return message.answer(cut(fill(template, message, registered)), parse_mode=None)


def _fields(zone: str | None, clock: Clock) -> Mapping[str, str]:
    if zone is None:
        return {}
    return {"zone": zone, "time": f"{datetime.fromtimestamp(clock() / 1_000, zone_of(zone)):%H:%M}"}
