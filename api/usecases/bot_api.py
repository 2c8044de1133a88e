"""Calls of the Bot API that pass the queue: submitted, awaited for a while, and taken back if that was too short.

    sent, or refused by Telegram   Telegram's own answer
    no place within its patience   taken back: 429, with the time at which it will find one
    the client has gone            taken back
    it bears a dedup key           it keeps its place: 429 all the same, and a repeated call waits for the same message

Nothing is sent late: a client that got 429 has nothing left in the queue, unless it gave a key. What is being sent, and
what perhaps arrived, cannot be taken back; its answer is awaited however long that takes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from tempogram.api.core.dependencies import Dependencies, Door
from tempogram.api.core.errors import Invalid, TooManyRequests
from tempogram.api.core.ports import ApiAnswer, Crowded, PlaceWait, UnknownToken
from tempogram.api.core.validation_messages import first_sentence
from tempogram.api.schemas.messages import MessageIn
from tempogram.api.usecases.retry_times import RetryTimes, Returning, WaitingCalls
from tempogram.api.usecases.submissions import Submissions, compose
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.messages import PARKED_MS, Outgoing, PausedBy, Status
from tempogram.engine.ports import Explanation, Progress, Result, WaitsAt
from tempogram.engine.recovery.cancellations import Cancellation
from tempogram.storage.files.spool import Spooled

AGAIN_S = 1.0
"""After so long, what could not be taken back is tried again. untuned: a call that is under way ends sooner."""

LIMITS_KEPT_MS = 5_000
"""How old the limits may be by which times are promised. untuned: they change by hand."""

NEWCOMERS_PART = 2
"""The part of its patience that a newcomer has while callers of its bot are to come back: half. So one that comes back
finds at most half of its own patience before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BotApiCall:
    """A call that came through the door, and what its client wants of the queue.

    Attributes:
        wishes: Fields of ``MessageIn`` by name.
        wait_s: How long it waits for its places; None: as the door does.
    """

    bot_id: int
    method: str
    params: Mapping[str, Any]
    files: Mapping[str, Spooled]
    wishes: Mapping[str, Any]
    wait_s: float | None = None

    @property
    def fingerprint(self) -> bytes:
        """The same for a call that is made again."""
        files = sorted((name, file.sha256) for name, file in self.files.items())
        said = [self.bot_id, self.method.lower(), self.params, files]
        return hashlib.sha256(msgspec.json.encode(said, order="sorted")).digest()


class Patience:
    """How long one call waits; see ``PlaceWait``. It may be given more time."""

    def __init__(self, door: Door, wait_s: float) -> None:
        self._door = door
        self._wait: PlaceWait = door.place_wait(wait_s)

    def note(self, progress: Progress) -> None:
        self._wait.note(progress)

    async def until(self, ended: asyncio.Future[Result]) -> Result:
        # Shielded: the future is still to be filled when the wait is over.
        return await self._wait.until(asyncio.shield(ended))

    def begin_again(self, wait_s: float) -> None:
        self._wait = self._door.place_wait(wait_s)


class BotApi:
    """Makes calls that pass the queue."""

    def __init__(self, dependencies: Dependencies, door: Door, submissions: Submissions) -> None:
        self._dependencies = dependencies
        self._door = door
        self._submissions = submissions
        self._retry_times = RetryTimes(dependencies.clock)
        self._returning = Returning(dependencies.clock)
        self._waiting_calls = WaitingCalls()
        self._limits: tuple[int, Limits] | None = None

    @contextmanager
    def place(self, bot_id: int) -> Iterator[None]:
        """Take one of the places of calls that wait, until the block ends; raises ``Crowded``."""
        waiting = self._door.waiting
        if not waiting.may_take(bot_id):
            raise Crowded("more calls wait here than may; make fewer at a time")
        waiting.take(bot_id)
        try:
            yield
        finally:
            waiting.give_back(bot_id)

    async def make(self, call: BotApiCall, gone: asyncio.Task[None]) -> ApiAnswer:
        """Make a call, and return its answer as Telegram would give it.

        Args:
            call: What the client wrote.
            gone: Ends when the client has gone.

        Raises:
            TooManyRequests: It found no place in time; it was taken back, unless it bears a key.
            UnknownToken: Its bot is paused because Telegram has refused its token; it was taken back.
            ClientDisconnect: The client has gone.
            EngineError: As of ``Submissions.submit``; nothing was accepted.
        """
        message = compose(self._dependencies, _request(call), call.files)
        waiting = _Waiting(call, message, gone, Patience(self._door, self._wait_s(call)))
        with nullcontext() if waiting.is_kept else self._waiting_calls.including(message):
            return self._door.calls.answer(message, await self._result_of(waiting))

    async def _result_of(self, waiting: _Waiting) -> Result:
        message = waiting.message
        with self._door.endings.expect(message.id, waiting.patience.note) as ended:
            submitted = await self._submissions.accept(message, waiting.call.files)
            if submitted.id == message.id:
                return await self._end_of(waiting, message.id, ended)
        with self._door.endings.expect(submitted.id, waiting.patience.note) as ended:
            # It may have ended before; what ends from here on is not missed.
            before = await self._door.endings.look_up(submitted.id)
            return before or await self._end_of(waiting, submitted.id, ended)

    def _wait_s(self, call: BotApiCall) -> float:
        if call.wait_s is not None:
            return call.wait_s
        wait_s = self._door.wait_s
        if not self._returning.is_any_expected(call.bot_id) or self._returning.comes_back(call.fingerprint):
            return wait_s
        return wait_s / NEWCOMERS_PART

    async def _end_of(self, waiting: _Waiting, message_id: str, ended: asyncio.Future[Result]) -> Result:
        """Wait for the end of a message, and take it back when its client waits no more."""
        while True:
            with suppress(TimeoutError):
                result = await waiting.until_over(ended)
                if result.status is Status.CANCELLED and waiting.is_given_up:
                    raise self._over(waiting, None)  # the ledger could not say so before
                return result
            await self._give_up(waiting, message_id)
            waiting.patience.begin_again(AGAIN_S)

    async def _give_up(self, waiting: _Waiting, message_id: str) -> None:
        """Raise what the client gets instead of an answer, if its message was taken back, or keeps its place."""
        if waiting.is_kept:
            if (explanation := await self._explain(message_id)) is not None:
                await self._read_limits()
                raise self._over(waiting, explanation)
            return
        explanation, taken_back = await self._explain_oldest(waiting.message)
        self._waiting_calls.leave(waiting.message)
        if await self._is_taken_back(waiting):
            if explanation is not None and explanation.waits_at is WaitsAt.BOT_PAUSED:
                await self._check_token(waiting.message.bot_id)
            await self._read_limits()
            raise self._over(waiting, explanation, taken_back=taken_back)
        self._waiting_calls.join(waiting.message)

    async def _explain_oldest(self, message: Outgoing) -> tuple[Explanation | None, int]:
        """Explain why the oldest message of the door to a chat waits, and count those of its bot.

        Those before it are taken back as well, or are sent soon. If it is being sent, the message itself is explained.
        """
        oldest_id, taken_back = self._waiting_calls.oldest(message), self._waiting_calls.of_bot(message.bot_id)
        return await self._explain(oldest_id) or await self._explain(message.id), taken_back

    async def _explain(self, message_id: str) -> Explanation | None:
        with suppress(BrokerUnavailable):
            explanation = await self._dependencies.broker.explain(message_id)
            if explanation is not None and explanation.earliest_at_ms == PARKED_MS:
                return replace(explanation, earliest_at_ms=None)  # the messages that it waits for are not explained
            return explanation
        return None

    async def _is_taken_back(self, waiting: _Waiting) -> bool:
        """Take a message back; False if it is being sent, has ended, or perhaps arrived."""
        try:
            if await self._may_have_arrived(waiting.message):
                return False
            return await self._dependencies.cancellations.cancel(waiting.message.id) is Cancellation.DONE
        except BrokerUnavailable:
            return False  # it waits as before
        except LedgerError:
            waiting.is_given_up = True  # perhaps it is not sent any more; its end will say so
            return False

    async def _may_have_arrived(self, message: Outgoing) -> bool:
        """Tell whether a message perhaps arrived; also if the ledger cannot say so now."""
        with suppress(LedgerError):
            return await self._dependencies.ledger.may_have_arrived(message)
        return True

    async def _check_token(self, bot_id: int) -> None:
        bot = await self._dependencies.bots.get(bot_id)
        if bot is not None and bot.paused_by is PausedBy.TOKEN:
            raise UnknownToken(f"Telegram has refused the token of bot {bot_id}")

    async def _read_limits(self) -> None:
        now_ms = self._dependencies.clock()
        if self._limits is None or now_ms - self._limits[0] >= LIMITS_KEPT_MS:
            with suppress(LedgerError):
                self._limits = now_ms, await self._dependencies.limits.current()

    def _over(self, waiting: _Waiting, explanation: Explanation | None, *, taken_back: int = 0) -> Exception:
        """Return what ends the wait of a client; one that has gone is asked for nothing."""
        if waiting.gone.done():
            return ClientDisconnect()
        message, limits, now_ms = (
            waiting.message,
            self._limits[1] if self._limits else Limits(),
            self._dependencies.clock(),
        )
        if waiting.is_kept and explanation is not None:
            at_ms = self._retry_times.expected_at(explanation, limits)
        else:
            at_ms = self._retry_times.promise(message, explanation, limits, taken_back=taken_back)
            self._returning.expect(waiting.call.fingerprint, message.bot_id, at_ms)
        return TooManyRequests(max(1, -(-(at_ms - now_ms) // 1_000)))


@dataclass(slots=True)
class _Waiting:
    """A client and its message.

    Attributes:
        is_given_up: It was to be taken back, and whether it was is not known yet.
        has_seen_gone: It was noticed that the client has gone.
    """

    call: BotApiCall
    message: Outgoing
    gone: asyncio.Task[None]
    patience: Patience
    is_given_up: bool = False
    has_seen_gone: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether it bears a key, so that it keeps its place and a repeated call waits for it."""
        return self.message.dedup_key is not None

    async def until_over(self, ended: asyncio.Future[Result]) -> Result:
        """Return the result; raises ``TimeoutError`` when the patience ends, or at once when the client has gone."""
        if self.has_seen_gone:
            return await self.patience.until(ended)
        try:
            return await _unless(self.gone, self.patience.until(ended))
        finally:
            self.has_seen_gone = self.gone.done()


async def _unless(gone: asyncio.Task[None], work: Coroutine[Any, Any, Result]) -> Result:
    """Return what some work returns; raises ``TimeoutError`` if the client goes before."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


def _request(call: BotApiCall) -> MessageIn:
    """Return a call as ``POST /messages`` would have it.

    Raises:
        Invalid: A wish, or the chat, makes no sense.
    """
    params = dict(call.params)
    chat = {"chat_id": params.pop("chat_id")} if "chat_id" in params else {}
    try:
        return MessageIn.model_validate(
            {"bot": call.bot_id, "method": call.method, "params": params, **chat, **call.wishes}
        )
    except ValidationError as error:
        raise Invalid(first_sentence(error)) from None
