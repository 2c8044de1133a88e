"""Which way a call goes, and what became of its message as the Bot API puts it.

Source: https://core.telegram.org/bots/api#making-requests
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from aiogram.exceptions import TelegramAPIError
from aiogram.types import TelegramObject

from tempogram.api.core.ports import ApiAnswer, Way
from tempogram.api.http.telegram_errors import refused
from tempogram.bot.calls.answers import as_returned, shown
from tempogram.bot.telegram.method_classes import BY_NAME, AnyMethod
from tempogram.bot.telegram.methods import QUEUED
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.model.outcomes import Failed, HalfSent, Lost, Rejected, Sent, Uncertain
from tempogram.engine.ports import Result

ACTION = "sendChatAction"

OF_UPDATES = frozenset({"deleteWebhook", "getUpdates", "setWebhook"})

OURS = {"tempogram_id"}
"""What we add to a message, and no client of the Bot API expects."""

EXPIRED = "Bad Request: the message expired before it could be sent"
CANCELLED = "Bad Request: the message was taken back before it was sent"


class Answers:
    """See ``api.core.ports.DoorCalls``."""

    def way(self, method: str) -> Way:
        """See ``DoorCalls``."""
        known = BY_NAME.get(method.lower())
        name = "" if known is None else known.__api_method__
        if name in QUEUED:
            return Way.QUEUE
        if name == ACTION:
            return Way.ACTION
        return Way.UPDATES if name in OF_UPDATES else Way.DIRECT

    def answer(self, message: Outgoing, result: Result) -> ApiAnswer:
        """See ``DoorCalls``."""
        match result.outcome:
            case Sent(removed=str(reason)) if reason:
                return refused(500, reason)
            case Sent(body=body) if body:
                return ApiAnswer(200, as_returned(_method_of(message), body))
            case Sent(telegram_message_id=number, item_ids=item_ids):
                return _shown(message, result, item_ids or ([] if number is None else [number]))
            case None if result.replaced_by is not None:
                return _shown(message, result, [])
            case HalfSent(cause=cause):
                return self.answer(message, replace(result, outcome=cause))
            case _:
                return _refusal(result)


def _refusal(result: Result) -> ApiAnswer:
    match result.outcome:
        case Rejected(code, reason):
            return refused(code, reason)
        case Failed(reason, int(code)) if code >= 500:
            return refused(code, reason)
        case Failed(reason, is_ours=True):
            return refused(500, f"Internal Server Error: {reason}")
        case Failed(reason):
            return refused(502, f"Bad Gateway: Telegram could not be reached: {reason}")
        case Uncertain(reason) | Lost(reason=reason):
            return refused(504, f"Gateway Timeout: Telegram gave no answer, so perhaps it was sent: {reason}")
        case _ if result.status is Status.EXPIRED:
            return refused(400, EXPIRED)
        case _ if result.status is Status.CANCELLED:
            return refused(400, CANCELLED)
        case _:
            return refused(500, f"Internal Server Error: the message is {result.status}")


def _shown(message: Outgoing, result: Result, numbers: Sequence[int]) -> ApiAnswer:
    """Return what is known of a message whose own answer is not: its numbers, its chat and what the call says."""
    try:
        value = shown(_NO_BOT, _method_of(message), result.message_id, numbers)
    except TelegramAPIError:
        return refused(409, "Conflict: this was done before, and what Telegram answered is not kept")
    return ApiAnswer(200, msgspec.json.encode({"ok": True, "result": _plain(value)}))


_NO_BOT: Any = None
"""A message that is written down needs none."""


def _plain(value: Any) -> Any:
    """Return a value of aiogram's as it stands in JSON."""
    if isinstance(value, TelegramObject):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=OURS)
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _method_of(message: Outgoing) -> AnyMethod:
    kind = BY_NAME[message.method.lower()]
    params = msgspec.json.decode(message.params)
    known = {name: params[name] for name in kind.model_fields if name in params}  # Telegram ignores any other
    return kind.model_construct(**known | {"chat_id": message.chat_id or 0})
