"""What became of a message, as aiogram returns or raises it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.types import Chat, InlineKeyboardMarkup, Message, MessageId, SentGuestMessage, SentWebAppMessage, Story

from tempogram.api.core.ports import Refusal
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.bot.telegram.methods import numbered
from tempogram.engine.closing.closer import REPLACED_BY
from tempogram.engine.model.errors import ChatUnreachable, QueueFull, TargetLost, UnstorableValue
from tempogram.engine.model.messages import Status
from tempogram.engine.model.outcomes import Failed, HalfSent, Lost, Outcome, Rejected, Sent, Uncertain
from tempogram.engine.ports import Fault, Known, Result

KEPT_OR_SHOWN = frozenset({bool, Message, MessageId, SentGuestMessage, SentWebAppMessage, Story})
"""What answers a call that must not be made twice because its handler runs twice."""

FULL_QUEUE_RETRY_S = 10
"""untuned: a full lane sends about one message a second."""

REFUSED = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 413: "Request Entity Too Large"}
"""The codes of what is never sent, and how Telegram's words for it begin."""

SAID: dict[str, type] = {
    "text": str,
    "caption": str,
    "reply_markup": InlineKeyboardMarkup,
    "message_thread_id": int,
    "business_connection_id": str,
}
"""What a message has from its call, and its type there."""


class FullQueue(QueueFull, TelegramRetryAfter):
    """A full queue, as aiogram raises a limit: code that waits and sends again needs no change."""

    label = "Tempogram says"
    url = ""

    def __init__(self, method: AnyMethod, full: QueueFull) -> None:
        TelegramAPIError.__init__(self, method, str(full))
        self.bot_id, self.chat_id, self.cap = full.bot_id, full.chat_id, full.cap
        self.retry_after = FULL_QUEUE_RETRY_S


NotAccepted = ChatUnreachable | QueueFull | TargetLost | UnstorableValue | Refusal


def answer(bot: Bot, method: AnyMethod, result: Result) -> Any:
    """Return or raise what aiogram would for a result."""
    match result.outcome:
        case Sent(removed=str(reason)) if reason:
            raise TelegramServerError(method, reason)  # as Telegram answered: there is no message to return
        case Sent(telegram_message_id=number, body=b"", item_ids=item_ids):
            return shown(bot, method, result.message_id, item_ids or ([] if number is None else [number]))
        case Sent(body=body):
            response = bot.session.check_response(bot, method, 200, as_returned(method, body).decode())
            return response.result
        case None if result.replaced_by is not None:
            return shown(bot, method, result.message_id, [])
        case _:
            raise refusal(method, result)


def refusal(method: AnyMethod, result: Result) -> Exception:
    """Return aiogram's own exception for a message that ended without being sent."""
    match result.outcome:
        case Rejected(403, reason):
            return TelegramForbiddenError(method, reason)
        case Rejected(404, reason):
            return TelegramNotFound(method, reason)
        case Rejected(413, reason):
            return TelegramEntityTooLarge(method, reason)
        case Rejected(400, reason):
            return TelegramBadRequest(method, reason)
        case HalfSent(cause=cause, reason=reason):
            return refusal(method, replace(result, outcome=replace(cause, reason=reason)))
        case Failed(code=int(code)) as outcome if code >= 500:
            return TelegramServerError(method, _reason(result.status, outcome))
        case Failed(code=None) | Uncertain() | Lost() as outcome:
            return TelegramNetworkError(method, _reason(result.status, outcome))
        case outcome:
            return TelegramAPIError(method, _reason(result.status, outcome))


def _reason(status: Status, outcome: Outcome | None) -> str:
    reason = getattr(outcome, "reason", None)
    return f"the message is {status}" + (f": {reason}" if reason else "")


def as_returned(method: AnyMethod, body: bytes) -> bytes:
    """Return an answer in the type that a method returns: the last item of an album may have been a single message."""
    if method.__returning__ != list[Message]:
        return body
    result = msgspec.json.decode(body)["result"]
    return body if isinstance(result, list) else msgspec.json.encode({"ok": True, "result": [result]})


def is_answered_with_a_value(method: AnyMethod) -> bool:
    """Tell whether a call is answered with something that is not kept, and shows nothing: a link, say.

    A handler that runs again makes such a call again, as it could not be given the answer to the first.

    >>> from aiogram.methods import CreateChatInviteLink, EditMessageText
    >>> is_answered_with_a_value(CreateChatInviteLink(chat_id=5)), is_answered_with_a_value(EditMessageText(text="a"))
    (True, False)
    """
    returned = method.__returning__
    return not KEPT_OR_SHOWN.intersection((returned, *get_args(returned)))


def result_of(known: Known) -> Result:
    """Return the result of a message that has ended, by what the ledger keeps of it."""
    return Result(known.message_id, known.status, _outcome_of(known), replaced_by=_replaced_by(known))


def _outcome_of(known: Known) -> Outcome | None:
    match known.status, known.fault:
        case Status.SENT, fault:
            removed = fault.reason if fault else ""
            return Sent(known.telegram_message_id, removed=removed, item_ids=known.item_ids)
        case Status.UNCERTAIN, fault:
            return Uncertain(fault.reason if fault else "")
        case Status.DEAD, Fault(code=code, reason=reason):
            return _refused(_code_in(reason) or code, reason)
        case _:
            return None


def _refused(code: int | None, reason: str) -> Outcome:
    return Rejected(code, reason) if code in REFUSED else Failed(reason, code)


def refused(method: AnyMethod, reason: str) -> Exception:
    """Return aiogram's own exception for a call that was not accepted because of what it refers to."""
    outcome = _refused(_code_in(reason) or 400, reason)
    return refusal(method, Result("", Status.DEAD, outcome))


def not_accepted(method: AnyMethod, error: NotAccepted) -> Exception:
    """Return aiogram's own exception for a call that the engine did not accept."""
    match error:
        case ChatUnreachable(reason=reason):
            return TelegramForbiddenError(method, reason)
        case QueueFull():
            return FullQueue(method, error)
        case TargetLost():
            return refused(method, str(error))
        case Refusal() | UnstorableValue():
            return TelegramBadRequest(method, f"{REFUSED[400]}: {error}")


def items_of(method: AnyMethod) -> int:
    """Return how many messages a call makes.

    >>> from aiogram.methods import CopyMessages, SendMessage
    >>> copies = CopyMessages(chat_id=7, from_chat_id=8, message_ids=[1, 2])
    >>> items_of(SendMessage(chat_id=7, text="a")), items_of(copies)
    (1, 2)
    """
    items = getattr(method, "media", None) if method.__returning__ == list[Message] else None
    items = items or getattr(method, "message_ids", None)
    return len(items) if isinstance(items, list) else 1


def _code_in(reason: str) -> int | None:
    """Return the code of a refusal by Telegram's words for it; None if they are not Telegram's.

    >>> _code_in("Bad Request: chat not found"), _code_in("HTTP 502")
    (400, None)
    """
    return next((code for code, words in REFUSED.items() if reason.startswith(words)), None)


def _replaced_by(known: Known) -> str | None:
    match known.status, known.fault:
        case Status.CANCELLED, Fault(reason=reason) if reason.startswith(REPLACED_BY):
            return reason.removeprefix(REPLACED_BY)
        case _:
            return None


def shown(bot: Bot, method: AnyMethod, message_id: str, numbers: Sequence[int]) -> Any:
    """Return a value of a method's type for messages of which no more is known than what the call says.

    Args:
        bot: The caller's.
        method: The call.
        message_id: Our id of it, which the value bears as ``tempogram_id``.
        numbers: Of the messages that it made, or makes.

    Raises:
        TelegramAPIError: There is no such value: what Telegram answered is not kept.
    """
    returned = method.__returning__
    if bool in {returned, *get_args(returned)}:
        return _edited(bot, method, message_id, numbers)
    if returned in {Message, list[Message]} and numbers:
        messages = [_message(bot, method, message_id, number) for number in numbers]
        return messages[0] if returned is Message else messages
    if returned in {MessageId, list[MessageId]} and numbers:
        ids = [MessageId(message_id=number, tempogram_id=message_id) for number in numbers]
        return ids[0] if returned is MessageId else ids
    raise TelegramAPIError(method, f"message {message_id} was done before, and what Telegram answered is not kept")


def may_be_shown(method: AnyMethod) -> bool:
    """Tell whether a method has a value for a message that waits; any other call is waited for.

    >>> from aiogram.methods import DeleteMessage, EditMessageText, SendMessage, StopPoll
    >>> [may_be_shown(SendMessage(chat_id=7, text="a")), may_be_shown(StopPoll(chat_id=7, message_id=3))]
    [True, False]
    >>> may_be_shown(EditMessageText(chat_id=7, message_id=3, text="a")), may_be_shown(EditMessageText(text="a"))
    (True, False)
    """
    if bool in get_args(method.__returning__):
        return getattr(method, "message_id", None) is not None
    return method.__returning__ in {Message, MessageId, list[Message], list[MessageId]}


def _edited(bot: Bot, method: AnyMethod, message_id: str, numbers: Sequence[int]) -> Message | bool:
    """Return what an edit is answered with: the message, or True where Telegram does not show it."""
    number = numbers[0] if numbers else getattr(method, "message_id", None)
    if not isinstance(number, int) or Message not in get_args(method.__returning__):
        return True
    return _message(bot, method, message_id, number)


def _message(bot: Bot, method: AnyMethod, message_id: str, number: int) -> Message:
    """Return a message as its call says it is."""
    said: dict[str, Any] = {
        name: value for name in SAID if isinstance(value := getattr(method, name, None), SAID[name])
    }
    return Message(
        message_id=number,
        date=datetime.now(UTC),
        chat=_chat(getattr(method, "chat_id", 0)),
        is_topic_message="message_thread_id" in said or None,
        tempogram_id=message_id,
        **said,
    ).as_(bot)


def _chat(chat_id: Any) -> Chat:
    number = numbered(chat_id)
    if isinstance(number, int):
        return Chat(id=number, type="private" if number > 0 else "supergroup")
    return Chat(id=0, type="channel", username=number.removeprefix("@"))
