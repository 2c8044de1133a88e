"""The way of a call into the engine, and of its answer back to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, get_args

import structlog
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import TelegramEntityTooLarge, TelegramRetryAfter
from aiogram.methods import SendChatAction

from tempogram.api.core.ports import Refusal
from tempogram.bot.calls.answers import (
    answer,
    is_answered_with_a_value,
    items_of,
    may_be_shown,
    not_accepted,
    refused,
    shown,
)
from tempogram.bot.calls.endings import Endings
from tempogram.bot.calls.handles import Amended, Done, HandleReferences
from tempogram.bot.calls.place_wait import PlaceWait
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer, prepare
from tempogram.bot.telegram.engine_loop import EngineLoop
from tempogram.bot.telegram.methods import UNCOUNTED, AnyMethod, Rule, numbered
from tempogram.bot.telegram.references import may_refer, unknown, why_lost
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.model.errors import ChatUnreachable, EngineError, QueueFull, TargetLost
from tempogram.engine.model.messages import Hold, Outgoing, Status
from tempogram.engine.ports import Handles, Known, Result
from tempogram.engine.sending.known_holds import KnownHolds
from tempogram.storage.files.spool import FileTooLarge

log = structlog.get_logger()


class TokenStore(Protocol):
    """Stores the token of a ``Bot`` that a user built, so that a worker can send for it."""

    async def learn(self, token: str) -> None:
        """Store a token; costs nothing if it is stored already."""


class Gateway:
    """Submits aiogram calls to the engine, and returns their answers.

    Args:
        wait_s: Time an awaited call may wait for places, Telegram's own answer not counted; None: until it is sent.
        call_s: Time in which a call to Telegram surely ends.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        composer: MethodComposer,
        attachments: Attachments,
        endings: Endings,
        handles: Handles,
        references: HandleReferences,
        tokens: TokenStore,
        known_holds: KnownHolds,
        wait_s: float | None,
        call_s: float,
    ) -> None:
        self._dispatcher = dispatcher
        self._composer = composer
        self._attachments = attachments
        self._endings = endings
        self._handles = handles
        self._references = references
        self._tokens = tokens
        self._known_holds = known_holds
        self._wait_s = wait_s
        self._call_s = call_s
        self._waits: set[PlaceWait] = set()
        self._is_ending = False
        self._refusal: str | None = None
        self.loop = EngineLoop()

    @property
    def has_ended(self) -> bool:
        return self._refusal is not None

    def end_waits(self) -> None:
        """Cancel the calls that wait for places, and let none wait from now on; what they submitted stays accepted."""
        self._is_ending = True
        for waiting in self._waits:
            waiting.hasten()

    def refuse_calls(self, reason: str) -> None:
        """Refuse every call from now on; the first reason stands."""
        self._refusal = self._refusal or reason

    async def call(self, bot: Bot, method: AnyMethod, rule: Rule) -> Any:
        """Submit a call and wait until it has ended, or at most ``wait_s`` for its places.

        Returns:
            What the method returns; or, if the message still waits, a ``Message`` (or ``MessageId``, or a list of
            them) whose ``message_id`` is a handle and whose ``tempogram_id`` is our id.

        Raises:
            TelegramAPIError: Telegram or the engine refused the call; aiogram's own exception for it.
            FullQueue: It was not accepted, as its chat or its bot has too many messages waiting.
            LedgerError: It was not accepted, as far as is known; it may be made again.
            TelegramEntityTooLarge: It was not accepted; a file is larger than Telegram takes.
            RuntimeError: It was not accepted, as the engine has ended.
            CancelledError: The engine ends; the message was accepted, and goes when its turn comes.
        """
        self._check_running()
        try:
            message = await self._compose(bot, method, rule)
            with update_context.waiting_for_queue():
                return await self._answered(bot, method, message)
        except (ChatUnreachable, QueueFull, Refusal, TargetLost) as error:
            raise not_accepted(method, error) from None

    def _check_running(self) -> None:
        if self._refusal is not None:
            raise RuntimeError(self._refusal)

    async def _answered(self, bot: Bot, method: AnyMethod, message: Outgoing) -> Any:
        with self._place_wait(self._wait_s if may_be_shown(method) else None) as waiting:
            return await self._answered_within(waiting, bot, method, message)

    @contextmanager
    def _place_wait(self, wait_s: float | None) -> Iterator[PlaceWait]:
        """Give the wait of one call; it is cut short when the engine ends."""
        waiting = PlaceWait(wait_s=wait_s, call_s=self._call_s)
        if self._is_ending:
            waiting.hasten()
        self._waits.add(waiting)
        try:
            yield waiting
        finally:
            self._waits.remove(waiting)

    async def _answered_within(self, waiting: PlaceWait, bot: Bot, method: AnyMethod, message: Outgoing) -> Any:
        with self._endings.expect(message.id, waiting.note) as ended:
            other_id = await self._enter(bot, message)
            if other_id is None:
                return await self._end_of(bot, method, message.id, waiting.until(ended))
        if not other_id:
            return True
        with self._endings.expect(other_id, waiting.note) as ended:
            # It may have ended before; what ends from here on is not missed.
            result = await self._endings.look_up(other_id)
            if result is not None:
                return await self._answer_again(bot, method, result)
            return await self._end_of(bot, method, other_id, waiting.until(ended))

    async def _answer_again(self, bot: Bot, method: AnyMethod, result: Result) -> Any:
        """Answer a call that was made before; as then with a handle, if its message was taken back since."""
        if result.status is Status.CANCELLED and (numbers := await self._handles.handed_out(result.message_id)):
            return shown(bot, method, result.message_id, numbers)
        return answer(bot, method, result)

    async def _enter(self, bot: Bot, message: Outgoing) -> str | None:
        """Submit a message; return the id of another one whose end is its own, "" if there is nothing left to do."""
        if may_refer(message):
            async with self._references.in_order(bot.id):
                left = await self._references.change_waiting(message)
            if isinstance(left, Done | Amended):
                await self._attachments.forget(message)
                return left.message_id if isinstance(left, Amended) else ""
            message = left
        known = await self._submit(bot, message)
        return None if known is None else known.message_id

    async def _end_of(self, bot: Bot, method: AnyMethod, message_id: str, ended: Awaitable[Result]) -> Any:
        """Wait for a message and return its answer. A caller that is cancelled does not cancel the message."""
        try:
            result = await ended
        except TimeoutError:
            if self._is_ending:
                raise asyncio.CancelledError from None
            return shown(bot, method, message_id, await self._handles_of(bot, method, message_id))
        return answer(bot, method, result)

    async def _handles_of(self, bot: Bot, method: AnyMethod, message_id: str) -> list[int]:
        """Return what stands for a call's messages until they are sent; an edit's message has its number already."""
        if bool in get_args(method.__returning__):
            return []
        return await self._handles.hand_out(bot.id, message_id, items_of(method))

    async def with_numbers(self, bot: Bot, method: AnyMethod) -> AnyMethod:
        """Return a call that does not pass the queue with Telegram's number; it waits until its message is sent."""
        number = getattr(method, "message_id", None)
        if not isinstance(number, int) or number >= 0:
            return method
        self._check_running()
        target = (await self._handles.targets(bot.id, [number])).get(number)
        if target is not None and target.is_open:
            with update_context.waiting_for_queue():
                await self._until_ended(target.message_id)
            target = (await self._handles.targets(bot.id, [number])).get(number)
        if target is None or target.telegram_message_id is None:
            raise refused(method, unknown(bot.id, number) if target is None else str(why_lost(number, target)))
        return method.model_copy(update={"message_id": target.telegram_message_id})

    async def _until_ended(self, message_id: str) -> None:
        with self._place_wait(None) as waiting, self._endings.expect(message_id, waiting.note) as ended:
            if await self._endings.look_up(message_id) is None:
                try:
                    await waiting.until(ended)
                except TimeoutError:
                    raise asyncio.CancelledError from None

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
        """Submit a call that a handler returned, without waiting. A lost chat is only logged.

        Raises:
            TelegramAPIError, RuntimeError: It was not accepted; the same as of ``call``.
        """
        self._check_running()
        try:
            await self._enter(bot, await self._compose(bot, method, rule))
        except ChatUnreachable as lost:
            log.warning("message_not_submitted", bot_id=lost.bot_id, chat_id=lost.chat_id, reason=lost.reason)
        except (QueueFull, Refusal, TargetLost) as error:
            raise not_accepted(method, error) from None

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

    async def _submit(self, bot: Bot, message: Outgoing) -> Known | None:
        try:
            await self._tokens.learn(bot.token)  # it may have been removed while a file was read and kept
            (submission,) = await self._dispatcher.submit([message])
            if isinstance(submission, EngineError):
                raise submission
        except EngineError:
            await self._attachments.forget(message)
            raise
        if isinstance(submission, Known):
            await self._attachments.forget(message)
            return submission
        return None
