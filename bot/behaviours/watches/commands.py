"""What chats write to watch items.

/watch KEY        watches an item; /watch SOURCE KEY where there are several sources
/unwatch KEY      ends that
/watches          lists what the chat watches
/viewed KEY       shows what is known of an item, and since when
/plan, /plan NAME  shows how many items the chat may watch, or chooses a plan that is open
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.behaviours.cutting import cut
from tempogram.bot.behaviours.watches.texts import age_of, joined, state_of
from tempogram.engine.model.texts import INVISIBLE
from tempogram.engine.model.watches import (
    DAY_MS,
    HOUR_MS,
    KEY_MAX,
    AskedTooOften,
    Item,
    Plan,
    Preset,
    Subscriber,
    UnknownPlan,
    UnknownSource,
    WatchesFull,
)
from tempogram.engine.watches.watches import Watches
from tempogram.storage.bots import RegisteredBot

NAME = "watches"

UNSEEN = re.compile(f"[{INVISIBLE}\ud800-\udfff]")
"""Not in a key, as two that look alike are to be one; halves of characters cannot be stored either."""

Answer = Callable[..., Awaitable[str]]


class NoKey(Exception):
    """A command does not say which item is meant; the text does."""


def router() -> Router:
    made = Router(name=NAME)
    commands: dict[str, Answer] = {
        "watch": watch,
        "unwatch": unwatch,
        "watches": list_all,
        "viewed": viewed,
        "plan": plan,
    }
    for name, function in commands.items():
        made.message.register(_answering(function), Command(name))
    return made


def check(config: Mapping[str, Any]) -> None:
    for name, value in config.items():
        if name != "source":
            raise Refusal(f"{short(name)} is not a setting of watches; there is source")
        if not isinstance(value, str) or not value:
            raise Refusal(f"source of watches is {short(value)}; it must be the name of a source")


async def watch(watches: Watches, to: Subscriber, item: Item) -> str:
    watches.check_asks(to)
    if not await watches.watch(to, item):
        return f"I watch {item.key} already."
    known = await watches.view(item, to)
    if known is None or known.fields is None:
        return f"I watch {item.key}. Its source does not answer now; I ask again."
    if not known.fields:
        await watches.end(to, item)
        return f"There is no {item.key}."
    return f"I watch {item.key}: {state_of(known.fields)}."


async def unwatch(watches: Watches, to: Subscriber, item: Item) -> str:
    return f"I no longer watch {item.key}." if await watches.end(to, item) else f"You do not watch {item.key}."


async def viewed(watches: Watches, to: Subscriber, item: Item) -> str:
    known = await watches.view(item, to)
    if known is None:
        return f"No chat watches {item.key}. Begin with /watch {item.key}"
    if known.fields is None:
        return f"{item.key}: {state_of(None)}."
    return f"{item.key}: {state_of(known.fields)} ({age_of(known, watches.clock())})."


async def list_all(watches: Watches, to: Subscriber, args: str) -> str:  # noqa: ARG001 - as the others
    (known, count), of = await watches.of(to), await watches.store.plan_of(to, watches.rules)
    lines = [f"{each.item.key}: {state_of(each.fields)}" for each in known]
    title = f"{count:,} of {of.items_max:,} items:"
    return joined(title, lines, count) or "You watch nothing. Begin with /watch and a key."


async def plan(watches: Watches, to: Subscriber, args: str) -> str:
    if args:
        return f"Your plan is now {_described(await watches.choose_plan(to, args), watches)}."
    own = await watches.store.plan_of(to, watches.rules)
    others = [each.name for each in await watches.store.plans() if each.is_open and each.name != own.name]
    choice = f" You can choose: /plan {' or /plan '.join(others)}" if others else ""
    return f"Your plan is {_described(own, watches)}.{choice}"


def _described(of: Plan, watches: Watches) -> str:
    if watches.rules.preset is not Preset.BY_USER:
        return f"{of.name}: {of.items_max:,} items"
    often = (
        f"every {of.interval_ms // DAY_MS} d"
        if of.interval_ms % DAY_MS == 0
        else f"every {of.interval_ms // HOUR_MS} h"
    )
    return f"{of.name}: {of.items_max:,} items, checked {often}"


def _answering(function: Answer) -> Callable[..., Awaitable[SendMessage]]:
    """Return a handler that answers with what the function says, or why that cannot be done."""
    needs_item = function in {watch, unwatch, viewed}

    async def handle(
        message: Message, command: CommandObject, registered: RegisteredBot, config: Mapping[str, Any], watches: Watches
    ) -> SendMessage:
        to, args = Subscriber(registered.bot_id, message.chat.id), (command.args or "").strip()
        try:
            meant = item_of(args, command.command, config, watches) if needs_item else args
            text = await function(watches, to, meant)
        except (NoKey, AskedTooOften, WatchesFull, UnknownSource, UnknownPlan) as error:
            text = f"{str(error)[0].upper()}{str(error)[1:]}."
        return message.answer(cut(text), parse_mode=None)  # a key may hold a stray character of markup

    return handle


def item_of(args: str, command: str, config: Mapping[str, Any], watches: Watches) -> Item:
    """Return the item that a command means: ``KEY`` of the usual source, or ``SOURCE KEY``.

    Raises:
        NoKey: It means none.
    """
    first, _, rest = args.partition(" ")
    usual = config.get("source") or (next(iter(watches.sources)) if len(watches.sources) == 1 else None)
    source, key = (first, rest.strip()) if first in watches.sources and rest.strip() else (usual, args)
    if not watches.sources:
        raise NoKey("there is nothing to watch here: no source is declared")
    if source is None or not key:
        known = " or ".join(watches.sources)
        which = "KEY" if usual else f"SOURCE KEY; a source is {known}"
        raise NoKey(f"write it like this: /{command} {which}")
    key = " ".join(key.split())
    if len(key) > KEY_MAX:
        raise NoKey(f"this key has {len(key):,} characters, and may have {KEY_MAX}")
    if UNSEEN.search(key):
        raise NoKey("this key has a character that cannot be seen; write it by hand instead of pasting it")
    return Item(source, key)
