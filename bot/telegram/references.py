"""Which messages a call names: where their numbers stand in its parameters, and which of them are handles.

Source: https://core.telegram.org/bots/api#available-methods (Telegram's own numbers are positive)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import Any

import msgspec
from msgspec.structs import replace

from tempogram.bot.telegram import edit_coalescing
from tempogram.bot.telegram.edit_coalescing import REPLACEABLE
from tempogram.bot.telegram.refusals import TWO_CHAT_METHODS, without_quote
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.model.outcomes import Failed, Outcome, Rejected, Unready
from tempogram.engine.ports import Handles, Target

ONE = ("message_id", "reply_to_message_id")
MANY = "message_ids"
QUOTE = "reply_parameters"

_MAY_REFER = re.compile(rb'"(?:message_id|reply_to_message_id)":\s*-|"message_ids":\s*\[[^\]]*-')
"""What stands in the parameters of a call that refers to a handle. (A text can hold it too: then nothing is found.)"""

CHANGING = REPLACEABLE | {
    "editMessageChecklist",
    "setGameScore",
    "stopMessageLiveLocation",
    "stopPoll",
}
"""What changes the message that it names."""

DELETING = frozenset({"deleteBusinessMessages", "deleteMessage", "deleteMessages"})


Targets = Mapping[int, Target]
"""What handles stand for."""


class Kind(Enum):
    """What a call does with the message that it refers to; so it is known what must come before it."""

    REPLY = auto()
    CHANGE = auto()
    COPY = auto()
    DELETE = auto()
    OTHER = auto()
    """It pins, unpins, reacts …: the message stays as it is."""

    @classmethod
    def of(cls, method: str) -> Kind:
        if method in DELETING:
            return cls.DELETE
        if method in TWO_CHAT_METHODS:
            return cls.COPY
        if method in CHANGING:
            return cls.CHANGE
        return cls.REPLY if method.startswith("send") else cls.OTHER


COMES_AFTER: dict[Kind, frozenset[Kind]] = {
    Kind.REPLY: frozenset(),
    Kind.CHANGE: frozenset({Kind.CHANGE, Kind.COPY}),
    Kind.COPY: frozenset({Kind.CHANGE}),
    Kind.DELETE: frozenset(Kind),
    Kind.OTHER: frozenset({Kind.OTHER}),
}
"""Which earlier calls of the same message must have been made, so that the chat ends as if none had waited."""


def may_refer(message: Outgoing) -> bool:
    """Tell whether a message perhaps refers to a handle, without decoding its parameters.

    >>> call = Outgoing(id="", bot_id=1, chat_id=5, method="deleteMessages", params=b'{"message_ids":[7,-1]}')
    >>> may_refer(call)
    True
    """
    return _MAY_REFER.search(message.params) is not None


def handles_in(params: Mapping[str, Any]) -> list[int]:
    """Return the handles that parameters name, each once, in their order.

    >>> handles_in({"message_ids": [7, -2, -1], "reply_parameters": {"message_id": -2}, "text": "-5"})
    [-2, -1]
    """
    return list(dict.fromkeys(number for number in _numbers(params) if number < 0))


def handles_of(message: Outgoing) -> list[int]:
    """Return the handles that a message refers to."""
    return handles_in(msgspec.json.decode(message.params)) if may_refer(message) else []


def with_numbers(params: Mapping[str, Any], number_of: Callable[[int], int]) -> dict[str, Any]:
    """Return parameters with other numbers in place of those of messages.

    >>> with_numbers({"reply_parameters": {"message_id": -1, "quote": "a"}}, {-1: 101}.__getitem__)
    {'reply_parameters': {'message_id': 101, 'quote': 'a'}}
    """
    changed = dict(params)
    for name in ONE:
        if isinstance(params.get(name), int):
            changed[name] = number_of(params[name])
    if isinstance(params.get(MANY), list):
        changed[MANY] = [number_of(each) if isinstance(each, int) else each for each in params[MANY]]
    if isinstance(params.get(QUOTE), dict):
        changed[QUOTE] = with_numbers(params[QUOTE], number_of)
    return changed


def may_go_without_reply(params: Mapping[str, Any]) -> bool:
    """Tell whether a call is a reply that is sent all the same if there is nothing to reply to.

    >>> may_go_without_reply({"reply_parameters": {"message_id": -1, "allow_sending_without_reply": True}})
    True
    """
    quote = params.get(QUOTE)
    allows = quote.get("allow_sending_without_reply") if isinstance(quote, dict) else None
    return bool(allows or params.get("allow_sending_without_reply"))


def _numbers(params: Mapping[str, Any]) -> Iterator[int]:
    named = [params.get(name) for name in ONE]
    many, quote = params.get(MANY), params.get(QUOTE)
    if isinstance(many, list):
        named += many
    yield from (each for each in named if isinstance(each, int))
    if isinstance(quote, dict):
        yield from _numbers(quote)


async def referred(message: Outgoing, handles: Handles) -> Outgoing | Outcome:
    """Return a leased message with Telegram's numbers in place of handles; its outcome if it cannot be sent.

    All that it refers to has ended, as it went behind it; unless it was replayed or had a time of its own.
    """
    numbers = handles_of(message)
    if not numbers:
        return message
    try:
        targets = await handles.targets(message.bot_id, numbers)
    except LedgerError:
        return Failed("what it refers to cannot be read", is_ours=True)
    if any(target.is_open for target in targets.values()):
        return Unready()
    return _with_ended(message, targets)


def _with_ended(message: Outgoing, targets: Targets) -> Outgoing | Outcome:
    numbers = handles_of(message)
    reasons = (why_lost(each, targets[each]) if each in targets else unknown(message.bot_id, each) for each in numbers)
    if (reason := next(filter(None, reasons), None)) is None:
        # It names messages of the chat as it is since they were sent: a group may have moved before.
        since_ms = max((target.settled_at_ms or 0 for target in targets.values()), default=0)
        return with_telegrams_numbers(replace(message, submitted_at_ms=max(message.submitted_at_ms, since_ms)), targets)
    if not may_go_without_reply(msgspec.json.decode(message.params)) or (rest := without_quote(message)) is None:
        return Rejected(400, reason)
    return _with_ended(rest.of(message), targets)


def unknown(bot_id: int, number: int) -> str:
    return (
        f"Bad Request: message {number} is not known: a negative number stands for a message that bot {bot_id} had "
        f"waiting, and this one stands for none"
    )


def why_lost(number: int, target: Target) -> str | None:
    """Return why a call cannot refer to a target; None if it can, now or once that is sent."""
    if target.is_open or target.telegram_message_id is not None:
        return None
    if target.status is Status.SENT:
        return f"Bad Request: of message {number}, an item of an album that arrived in parts, no number is known"
    return target.reason or f"Bad Request: message {number} was not sent: it is {target.status}"


def with_telegrams_numbers(message: Outgoing, targets: Targets) -> Outgoing:
    params = with_numbers(msgspec.json.decode(message.params), lambda number: telegrams_number(number, targets))
    return replace(message, params=msgspec.json.encode(params), replaces=_replaces(message, params))


def telegrams_number(number: int, targets: Targets) -> int:
    sent = targets[number].telegram_message_id if number in targets else None
    return number if sent is None else sent


def _replaces(message: Outgoing, params: Mapping[str, Any]) -> str | None:
    return None if message.replaces is None else edit_coalescing.replaces(message.method, params)
