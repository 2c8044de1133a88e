"""The session under every ``Bot`` of this process, so that no call bypasses the engine.

``install`` makes ``Bot.session`` a property that wraps the session a bot is given, so ``bot.send_message(…)``,
``message.answer(…)`` and a ``Bot`` that a user built all end here. What does not pass the queue (``methods.DIRECT``)
goes through the session that the bot was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
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
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import SendChatAction, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import Chat, Message, MessageId, SentGuestMessage, SentWebAppMessage, Story

from tempogram.bot.telegram import edit_coalescing, update_context
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer, prepare
from tempogram.bot.telegram.engine_loop import EngineLoop
from tempogram.bot.telegram.methods import QUEUED, UNCOUNTED, AnyMethod, Rule, numbered
from tempogram.bot.telegram.place_wait import PlaceWait
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.model.errors import ChatUnreachable, EngineError, QueueFull, StillQueued
from tempogram.engine.model.messages import OPEN, ChatId, Hold, Outgoing, Status
from tempogram.engine.model.outcomes import Failed, HalfSent, Lost, Outcome, Rejected, Sent, Uncertain
from tempogram.engine.ports import Known, Result, Results
from tempogram.engine.sending.known_holds import KnownHolds
from tempogram.storage.files.spool import FileTooLarge

log = structlog.get_logger()


DROP_WITHIN_S = 600.0
"""How long the edits of a message are dropped once a call to delete it succeeds. untuned: that call takes no place, so
it waits for holds and pauses only; after a longer one Telegram refuses the edits."""

KEPT_OR_SHOWN = frozenset({bool, Message, MessageId, SentGuestMessage, SentWebAppMessage, Story})
"""What answers a call that must not be made twice because its handler runs twice."""


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
        known_holds: KnownHolds,
        wait_s: float,
        call_s: float,
    ) -> None:
        self._dispatcher = dispatcher
        self._composer = composer
        self._attachments = attachments
        self._results = results
        self._tokens = tokens
        self._known_holds = known_holds
        self._wait_s = wait_s
        self._call_s = call_s
        self.loop = EngineLoop()
        self._dropping: dict[str, asyncio.Task[None]] = {}  # by the ids of calls that delete messages

    async def call(self, bot: Bot, method: AnyMethod, rule: Rule) -> Any:
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
            async with update_context.waiting_for_queue():
                return await self._answered(bot, method, message)
        except ChatUnreachable as lost:
            raise TelegramForbiddenError(method, lost.reason) from None

    async def _answered(self, bot: Bot, method: AnyMethod, message: Outgoing) -> Any:
        waiting = PlaceWait(wait_s=self._wait_s, call_s=self._call_s)
        future = self._results.expect(message.id, waiting.note)
        try:
            known = await self._submit(bot, method, message)
            if known is not None:
                return known_answer(method, known)
            # A caller that is cancelled does not cancel the message: the future is only its answer.
            result = await waiting.until(future)
        except TimeoutError:
            return placeholder(method, message.id)
        finally:
            self._results.forget(message.id, future)
        if dropping := self._dropping.get(message.id):
            await asyncio.shield(dropping)
        return answer(bot, method, result)

    async def show_action(self, direct: BaseSession, bot: Bot, method: SendChatAction, timeout_s: int | None) -> bool:
        """Show that a bot is at work; True and no call while the chat or the bot is held, as far as is known here."""
        chat_id = numbered(method.chat_id)
        if self._known_holds.is_held(bot.id, chat_id):
            return True
        try:
            return await direct.make_request(bot, method, timeout_s)
        except TelegramRetryAfter as throttled:
            self._known_holds.note(Hold(bot.id, chat_id, self._known_holds.in_ms(1_000 * throttled.retry_after)))
            raise

    async def submit(self, bot: Bot, method: AnyMethod, rule: Rule) -> None:
        """Submit a call that a handler returned, without waiting; a lost chat does not stop the calls after it."""
        try:
            await self._submit(bot, method, await self._compose(bot, method, rule))
        except ChatUnreachable as lost:
            log.warning("message_not_submitted", bot_id=lost.bot_id, chat_id=lost.chat_id, reason=lost.reason)

    async def _compose(self, bot: Bot, method: AnyMethod, rule: Rule) -> Outgoing:
        prepared, context = prepare(bot, method), update_context.current()
        compose = partial(self._composer.from_method, prepared, rule)
        if context is not None:
            is_made_again = prepared.name in UNCOUNTED and is_answered_with_a_value(method)
            key = None if is_made_again else context.next_key(prepared.name, rule.chat_id(prepared.params))
            compose = partial(compose, dedup_key=key, priority=context.priority, user_id=context.user_id)
        await self._tokens.learn(bot.token)  # after the key, which depends on the order in which calls are made
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

    async def _submit(self, bot: Bot, method: AnyMethod, message: Outgoing) -> Known | None:
        """Submit a call; once it has deleted messages, what waits to edit them is dropped."""
        deleted = edit_coalescing.deleted(method.__api_method__, dict(method))
        if deleted is None:
            return await self._submit_message(bot, message)
        future = self._results.expect(message.id)
        known = None
        try:
            known = await self._submit_message(bot, message)
        except BaseException:
            self._results.forget(message.id, future)
            raise
        if known is not None:
            self._results.forget(message.id, future)
            return known
        dropping = self._dropping[message.id] = asyncio.create_task(self._drop_edits(message, future, *deleted))
        dropping.add_done_callback(lambda _: self._dropping.pop(message.id))
        return None

    async def _drop_edits(
        self, deleting: Outgoing, future: asyncio.Future[Result], chat_id: ChatId, message_ids: Sequence[int]
    ) -> None:
        bot_id = deleting.bot_id
        try:
            async with asyncio.timeout(DROP_WITHIN_S):
                result = await future
        except TimeoutError:
            return
        finally:
            self._results.forget(deleting.id, future)
        if not isinstance(result.outcome, Sent):
            return
        try:
            await self._dispatcher.drop(bot_id, numbered(chat_id), [edit_coalescing.key(each) for each in message_ids])
        except EngineError as error:  # Telegram refuses the edits
            log.debug("edits_not_dropped", bot_id=bot_id, error=str(error))

    async def _submit_message(self, bot: Bot, message: Outgoing) -> Known | None:
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
    """Sends through the engine, and what does not pass the queue through ``direct``; both in the engine's loop."""

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
        return await self._gateway.loop.run(self._make_request(bot, method, timeout))

    async def _make_request(
        self, bot: Bot, method: TelegramMethod[TelegramType], timeout_s: int | None
    ) -> TelegramType:
        rule = QUEUED.get(method.__api_method__)
        if rule is not None:
            return cast("TelegramType", await self._gateway.call(bot, method, rule))
        if isinstance(method, SendChatAction):
            return cast("TelegramType", await self._gateway.show_action(self.direct, bot, method, timeout_s))
        return await self.direct.make_request(bot, method, timeout_s)

    async def close(self) -> None:
        closing = self.direct.close()
        await (closing if self._gateway.loop.has_ended else self._gateway.loop.run(closing))

    async def stream_content(
        self,
        url: str,
        headers: dict[str, Any] | None = None,
        timeout: int = 30,  # noqa: ASYNC109 - aiogram's own signature
        chunk_size: int = 65536,
        raise_for_status: bool = True,  # noqa: FBT001, FBT002 - aiogram's own signature
    ) -> AsyncGenerator[bytes, None]:
        content = self.direct.stream_content(url, headers, timeout, chunk_size, raise_for_status)
        try:
            while (chunk := await self._gateway.loop.run(_next(content))) is not None:
                yield chunk
        finally:
            await self._gateway.loop.run(_end(content))


async def _next(content: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(content, None)


async def _end(content: AsyncGenerator[bytes, None]) -> None:
    await content.aclose()


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


def is_answered_with_a_value(method: AnyMethod) -> bool:
    """Tell whether a call is answered with something that is not kept, and shows nothing: a link, say.

    A handler that runs again makes such a call again, as it could not be given the answer to the first.

    >>> from aiogram.methods import CreateChatInviteLink, EditMessageText
    >>> is_answered_with_a_value(CreateChatInviteLink(chat_id=5)), is_answered_with_a_value(EditMessageText(text="a"))
    (True, False)
    """
    returned = method.__returning__
    return not KEPT_OR_SHOWN.intersection((returned, *get_args(returned)))


def known_answer(method: AnyMethod, known: Known) -> Any:
    """Return what a call is answered with that a handler has made before; a call that only succeeds will do so."""
    if method.__returning__ is not bool:
        return placeholder(method, known.message_id, telegram_message_id=known.telegram_message_id or 0)
    if known.status in (*OPEN, Status.SENT):
        return True
    raise refusal(method, Result(known.message_id, known.status, None))


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
