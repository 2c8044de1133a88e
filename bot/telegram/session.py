"""The session under every ``Bot`` of this process, so that no call bypasses the engine.

``install`` makes ``Bot.session`` a property that wraps the session a bot is given, so ``bot.send_message(…)``,
``message.answer(…)`` and a ``Bot`` that a user built all end here. Calls that do not count (``methods.EXEMPT``) go
through the session that the bot was given.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, cast, get_args

import msgspec
import structlog
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramServerError,
)
from aiogram.methods import TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import Chat, Message, MessageId

from tempogram.bot.telegram import edit_coalescing, update_context
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer, prepare
from tempogram.bot.telegram.methods import COUNTED, AnyMethod, Counted, numbered
from tempogram.bot.telegram.place_wait import PlaceWait
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.model.errors import ChatUnreachable, EngineError, QueueFull, StillQueued
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.model.outcomes import Failed, HalfSent, Lost, Outcome, Rejected, Sent, Uncertain
from tempogram.engine.ports import Known, Result, Results
from tempogram.storage.files.spool import FileTooLarge

log = structlog.get_logger()


class TokenStore(Protocol):
    """Stores the token of a ``Bot`` that a user built, so that a worker can send for it."""

    async def learn(self, token: str) -> None:
        """Store a token; costs nothing if it is stored already."""


class Gateway:
    """Submits aiogram calls to the engine, and returns their answers.

    Args:
        wait_s: Time an awaited call may wait for places; Telegram's own answer is not counted.
        call_s: Time in which a call to Telegram surely ends.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        composer: MethodComposer,
        attachments: Attachments,
        results: Results,
        tokens: TokenStore,
        wait_s: float,
        call_s: float,
    ) -> None:
        self._dispatcher = dispatcher
        self._composer = composer
        self._attachments = attachments
        self._results = results
        self._tokens = tokens
        self._wait_s = wait_s
        self._call_s = call_s

    async def call(self, bot: Bot, method: AnyMethod, rule: Counted) -> Any:
        """Submit a call and wait for its answer: at most ``wait_s`` for its places, then until its call has ended.

        Returns:
            What the method returns; or, if the message still waits, a ``Message`` (or ``MessageId``, or a list of
            them) whose ``message_id`` is 0 and whose ``tempogram_id`` is our id.

        Raises:
            TelegramAPIError: Telegram refused the call, or refuses the whole chat; aiogram's own exception for it.
            StillQueued: The message still waits, and the method's type has no value for that.
            QueueFull: It was not accepted.
            TelegramEntityTooLarge: It was not accepted; a file is larger than Telegram takes.
        """
        try:
            message = await self._compose(bot, method, rule)
            return await self._answered(bot, method, message)
        except ChatUnreachable as lost:
            raise TelegramForbiddenError(method, lost.reason) from None

    async def _answered(self, bot: Bot, method: AnyMethod, message: Outgoing) -> Any:
        waiting = PlaceWait(wait_s=self._wait_s, call_s=self._call_s)
        future = self._results.expect(message.id, waiting.note)
        try:
            known = await self._submit(bot, message)
            if known is not None:
                return placeholder(method, known.message_id, telegram_message_id=known.telegram_message_id or 0)
            # A caller that is cancelled does not cancel the message: the future is only its answer.
            result = await waiting.until(future)
        except TimeoutError:
            return placeholder(method, message.id)
        finally:
            self._results.forget(message.id, future)
        return answer(bot, method, result)

    async def delete(self, bot: Bot, method: AnyMethod) -> None:
        """Drop waiting edits of messages that a call has just deleted."""
        gone = edit_coalescing.deleted(method.__api_method__, dict(method))
        if gone is not None:
            chat_id, message_ids = gone
            await self._dispatcher.drop(bot.id, numbered(chat_id), [edit_coalescing.key(each) for each in message_ids])

    async def submit(self, bot: Bot, method: AnyMethod, rule: Counted) -> None:
        """Submit a call that a handler returned, without waiting; a lost chat does not stop the calls after it."""
        try:
            await self._submit(bot, await self._compose(bot, method, rule))
        except ChatUnreachable as lost:
            log.warning("message_not_submitted", bot_id=lost.bot_id, chat_id=lost.chat_id, reason=lost.reason)

    async def _compose(self, bot: Bot, method: AnyMethod, rule: Counted) -> Outgoing:
        await self._tokens.learn(bot.token)
        prepared, context = prepare(bot, method), update_context.current()
        compose = partial(self._composer.from_method, prepared, rule)
        if context is not None:
            key = context.next_key()
            compose = partial(compose, dedup_key=key, priority=context.priority, user_id=context.user_id)
        if not prepared.files:
            return compose()
        try:
            # Read before the message is made, because its id is its time of submission.
            async with self._attachments.spooled(bot, prepared.files) as files:
                message = compose()
                if (lost := await self._dispatcher.refusal(message)) is not None:
                    raise lost
                await self._attachments.keep(message, files)
                return message
        except FileTooLarge as error:
            raise TelegramEntityTooLarge(method, str(error)) from error

    async def _submit(self, bot: Bot, message: Outgoing) -> Known | None:
        try:
            await self._tokens.learn(bot.token)  # it may have been removed while a file was read and kept
            (submission,) = await self._dispatcher.submit([message])
            if isinstance(submission, QueueFull | ChatUnreachable):
                raise submission
        except EngineError:
            await self._attachments.forget(message)
            raise
        if isinstance(submission, Known):
            await self._attachments.forget(message)
            return submission
        return None


class EngineSession(BaseSession):
    """Sends what counts through the engine, and everything else through ``direct``."""

    def __init__(self, direct: BaseSession, gateway: Gateway) -> None:
        super().__init__(direct.api, direct.json_loads, direct.json_dumps, direct.timeout)
        self.direct = direct
        self.middleware = direct.middleware
        self._gateway = gateway

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        timeout: int | None = None,  # noqa: ASYNC109 - aiogram's own signature
    ) -> TelegramType:
        rule = COUNTED.get(method.__api_method__)
        if rule is None:
            answered = await self.direct.make_request(bot, method, timeout)
            await self._gateway.delete(bot, method)
            return answered
        return cast("TelegramType", await self._gateway.call(bot, method, rule))

    async def close(self) -> None:
        await self.direct.close()

    async def stream_content(
        self,
        url: str,
        headers: dict[str, Any] | None = None,
        timeout: int = 30,  # noqa: ASYNC109 - aiogram's own signature
        chunk_size: int = 65536,
        raise_for_status: bool = True,  # noqa: FBT001, FBT002 - aiogram's own signature
    ) -> AsyncGenerator[bytes, None]:
        async for chunk in self.direct.stream_content(url, headers, timeout, chunk_size, raise_for_status):
            yield chunk


def install(gateway: Gateway) -> Callable[[], None]:
    """Put our session under every ``Bot`` from now on; return a function that undoes it."""

    def get(bot: Bot) -> BaseSession:
        session: BaseSession = bot.__dict__["session"]
        if not isinstance(session, EngineSession):  # built before
            put(bot, session)
        return cast("BaseSession", bot.__dict__["session"])

    def put(bot: Bot, session: BaseSession) -> None:
        wrapped = session if isinstance(session, EngineSession) else EngineSession(session, gateway)
        bot.__dict__["session"] = wrapped  # where aiogram keeps it, so that the bot works after ``remove``

    setattr(Bot, "session", property(get, put))  # noqa: B010 - aiogram declares it on the instance only

    def remove() -> None:
        delattr(Bot, "session")

    return remove


def answer(bot: Bot, method: AnyMethod, result: Result) -> Any:
    """Return or raise what aiogram would for a result."""
    match result.outcome:
        case Sent(removed=str(reason)) if reason:
            raise TelegramServerError(method, reason)  # as Telegram answered: there is no message to return
        case Sent(body=body):
            response = bot.session.check_response(bot, method, 200, as_returned(method, body).decode())
            return response.result
        case None if result.replaced_by is not None:
            return True  # as Telegram answers the edit of an inline message
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


def placeholder(method: AnyMethod, message_id: str, *, telegram_message_id: int = 0) -> Any:
    """Return the value for "not sent yet": message 0, as the Bot API itself marks a scheduled message.

    A message that an earlier process sent has its number; nothing else of it is known.

    Source: https://core.telegram.org/bots/api#message (``message_id`` may be 0)
    """
    if method.__returning__ is Message:
        return _message(method, message_id, telegram_message_id)
    if method.__returning__ is MessageId:
        return MessageId(message_id=telegram_message_id, tempogram_id=message_id)
    if method.__returning__ == list[Message]:
        return [_message(method, message_id, telegram_message_id)]
    if method.__returning__ == list[MessageId]:
        return [MessageId(message_id=telegram_message_id, tempogram_id=message_id)]
    if telegram_message_id and bool in get_args(method.__returning__):
        return True  # as Telegram answers an edit whose message it does not show
    raise StillQueued(message_id)


def _message(method: AnyMethod, message_id: str, telegram_message_id: int) -> Message:
    chat_id = getattr(method, "chat_id", 0)
    number = chat_id if isinstance(chat_id, int) else 0
    kind = "private" if number > 0 else "supergroup"
    return Message(
        message_id=telegram_message_id,
        date=datetime.now(UTC),
        chat=Chat(id=number, type=kind),
        tempogram_id=message_id,
    ).as_(method.bot)
