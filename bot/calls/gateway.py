"""The way of a call into the engine, and of its answer back to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, get_args

import aiohttp
import structlog
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import AiogramError, TelegramEntityTooLarge, TelegramRetryAfter
from aiogram.methods import SendChatAction

from tempogram.api.core.ports import Refusal
from tempogram.api.usecases.submissions import Submitted
from tempogram.bot.calls import call_options
from tempogram.bot.calls.answers import (
    answer,
    items_of,
    may_be_shown,
    not_accepted,
    refused,
    shown,
)
from tempogram.bot.calls.call_options import CallOptions
from tempogram.bot.calls.endings import Endings
from tempogram.bot.calls.handles import Amended, Done, HandleReferences
from tempogram.bot.calls.intents import Intent, intent_by_rule, intent_of
from tempogram.bot.calls.place_wait import PlaceWait
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer, prepare
from tempogram.bot.telegram.engine_loop import EngineLoop
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.bot.telegram.methods import Rule, numbered
from tempogram.bot.telegram.references import may_refer, unknown, why_lost
from tempogram.engine.dispatcher import Dispatcher, Submission
from tempogram.engine.model.errors import (
    ChatUnreachable,
    EngineError,
    LedgerError,
    QueueFull,
    TargetLost,
    UnstorableValue,
)
from tempogram.engine.model.messages import Guarantee, Hold, Outgoing, Priority, Status
from tempogram.engine.ports import Accepted, Handles, Known, Result
from tempogram.engine.sending.known_holds import KnownHolds
from tempogram.storage.files.spool import FileTooLarge

log = structlog.get_logger()

YIELD_EVERY = 50
"""Calls of a batch between two yields to others; untuned: 50 take some 5 ms."""

NOT_COMPOSED = (AiogramError, EngineError, aiohttp.ClientError, OSError)
"""What may be wrong with one call of a batch before it is submitted: its parameters, or a file that cannot be read."""


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
        self.attachments = attachments
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

    async def call(self, bot: Bot, method: AnyMethod, rule: Rule, *, wait_s: float | None = None) -> Any:
        """Submit a call and wait until it has ended, or at most ``wait_s`` for its places.

        Args:
            bot: It makes the call.
            method: The call.
            rule: See ``QUEUED``.
            wait_s: In place of the gateway's own; None: that one.

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
                return await self._answered(bot, method, message, self._wait_s if wait_s is None else wait_s)
        except (ChatUnreachable, QueueFull, Refusal, TargetLost, UnstorableValue) as error:
            raise not_accepted(method, error) from None

    def _check_running(self) -> None:
        if self._refusal is not None:
            raise RuntimeError(self._refusal)

    async def _answered(self, bot: Bot, method: AnyMethod, message: Outgoing, wait_s: float | None) -> Any:
        with self._place_wait(wait_s if may_be_shown(method) else None) as waiting:
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
                await self.attachments.forget(message)
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
        except (QueueFull, Refusal, TargetLost, UnstorableValue) as error:
            raise not_accepted(method, error) from None

    async def submit_many(
        self, bot: Bot, methods: Sequence[AnyMethod], options: CallOptions
    ) -> list[Submitted | Exception]:
        """Submit calls by one write of the ledger, without waiting for any; one answer each, in their order.

        Each is a message of its own, as over HTTP: an edit or a delete of what waits goes behind it.

        Returns:
            Submitted: It is accepted, now or before.
            TelegramAPIError: It is not; the same as ``call`` raises. Its neighbours are.
            LedgerError: It is not, as far as is known, but others before it are.
            OSError, aiohttp.ClientError: A file of it cannot be read.

        Raises:
            LedgerError: None is accepted, as far as is known.
            RuntimeError: None is accepted, as the engine has ended.
        """
        self._check_running()
        options = options.within(call_options.current())
        intents = [intent_of(method, options) for method in methods]
        composed: list[Outgoing | Exception] = []
        for index, each in enumerate(intents):
            composed.append(await self._composed(bot, each) if isinstance(each, Intent) else each)
            if index % YIELD_EVERY == YIELD_EVERY - 1:
                await asyncio.sleep(0)
        messages = [each for each in composed if isinstance(each, Outgoing)]
        submissions = iter(await self._submit_all(bot, messages))
        return [
            await self._submitted(method, each, next(submissions)) if isinstance(each, Outgoing) else each
            for method, each in zip(methods, composed, strict=True)
        ]

    async def _composed(self, bot: Bot, intent: Intent) -> Outgoing | Exception:
        try:
            return await self._message(bot, intent)
        except (ChatUnreachable, Refusal) as error:
            return not_accepted(intent.method, error)
        except NOT_COMPOSED as error:
            return error

    async def _submit_all(self, bot: Bot, messages: Sequence[Outgoing]) -> Sequence[Submission | Refusal]:
        if not messages:
            return []
        try:
            await self._tokens.learn(bot.token)  # as in ``_submit``
            return await self._dispatcher.submit(messages)
        except Refusal as removed:
            return [removed] * len(messages)
        except EngineError:
            for message in messages:
                await self.attachments.forget(message)
            raise

    async def _submitted(
        self, method: AnyMethod, message: Outgoing, submission: Submission | Refusal
    ) -> Submitted | Exception:
        if isinstance(submission, Accepted):
            return Submitted(message.id, Status.QUEUED)
        await self.attachments.forget(message)
        match submission:
            case Known(message_id, status):
                return Submitted(message_id, status)
            case LedgerError() if not isinstance(submission, UnstorableValue):
                return submission
            case refused:
                return not_accepted(method, refused)

    async def _compose(self, bot: Bot, method: AnyMethod, rule: Rule) -> Outgoing:
        return await self._message(bot, intent_by_rule(method, rule, call_options.current()))

    async def _message(self, bot: Bot, intent: Intent) -> Outgoing:
        """Make the message of a call, and keep its files."""
        method, options, prepared = intent.method, intent.options, prepare(bot, intent.method)
        compose = partial(
            self._composer.from_method,
            prepared,
            intent.rule,
            priority=options.priority or Priority.NORMAL,
            guarantee=options.delivery or Guarantee.AT_LEAST_ONCE,
            ready_at_ms=options.send_at_ms or 0,
            expires_in_s=options.expires_in_s,
            dedup_key=options.dedup_key,
            user_id=intent.user_id,
            tag=options.tag,
        )
        await self._tokens.learn(bot.token)  # after the key, which depends on the order in which calls are made
        if not prepared.files:
            return compose()
        try:
            # Read before the message is made, because its id is its time of submission.
            async with self.attachments.spooled(bot, prepared.files) as files:
                message = compose()
                if (lost := await self._dispatcher.refusal(message)) is not None:
                    raise lost
                await self.attachments.keep(message, files)
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
            await self.attachments.forget(message)
            raise
        if isinstance(submission, Known):
            await self.attachments.forget(message)
            return submission
        return None
