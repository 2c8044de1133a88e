"""Submits messages to the engine, and returns their end to a client that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import LEDGER_AWAY, Invalid, Malformed
from tempogram.api.core.ports import Refusal
from tempogram.api.core.repositories import MessageHistory
from tempogram.api.core.validation_messages import first_sentence
from tempogram.api.schemas.messages import BATCH_MAX, MessageIn
from tempogram.api.security.bounds import ALL, Bounds
from tempogram.api.usecases.known_bots import KnownBots, unknown_bot
from tempogram.engine.dispatcher import Submission
from tempogram.engine.model.errors import (
    BrokerUnavailable,
    ChatUnreachable,
    EngineError,
    LedgerError,
    QueueFull,
    TargetLost,
    UnstorableValue,
)
from tempogram.engine.model.messages import OPEN, Outgoing, Status
from tempogram.engine.ports import Accepted, Known, Result, Results
from tempogram.storage.files.spool import Spooled
from tempogram.storage.messages import MessageState

log = structlog.get_logger()

MESSAGE = TypeAdapter(MessageIn)

YIELD_EVERY = 200
"""Entries of a batch between two yields to other requests. Untuned: 200 take about 10 ms."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A message that was accepted, now or, with the same ``dedup_key``, before."""

    id: str
    status: Status


class Submissions:
    """Accepts messages, one by one or in batches."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self.known_bots = KnownBots(dependencies.bots)
        dependencies.fleet.when_removed(self.known_bots.forget)

    async def submit(
        self, request: MessageIn, files: Mapping[str, Spooled] | None = None, *, wait_s: float = 0
    ) -> Submitted | MessageState:
        """Accept one message with its files, and return its end if that comes within ``wait_s``.

        Raises:
            Refusal: There is no such bot, or Telegram would refuse the method or its parameters.
            QueueFull: Its chat or its bot has too many waiting messages.
            ChatUnreachable: Telegram refused the chat before.
            TargetLost: It refers to a message that is not there, or was not sent.
            UnstorableValue: The ledger takes no such message.
            LedgerError: The ledger is unavailable. As with the others, nothing was accepted.
        """
        await self.known_bots.check(request.bot)
        message = compose(self._dependencies, request, files or {})
        if files:
            await self._keep(message, files)
        if not wait_s:
            return await self._submit(message)
        return await self._submit_and_wait(message, wait_s)

    async def accept(self, message: Outgoing, files: Mapping[str, Spooled]) -> Submitted:
        """Accept a message that is composed already, with its files; raises as ``submit``."""
        await self.known_bots.check(message.bot_id)
        if files:
            await self._keep(message, files)
        return await self._submit(message)

    async def submit_many(self, entries: Sequence[Any], bounds: Bounds = ALL) -> list[Submitted | str]:
        """Accept messages; return one answer for each, in order, or a sentence if it is refused.

        Raises:
            Invalid: There are too many. Nothing was accepted.
            LedgerError: Nothing was accepted, as far as is known. (If something was, it is the answer of the others.)
        """
        if len(entries) > BATCH_MAX:
            raise Invalid(f"a batch may have at most {BATCH_MAX:,} messages, and this one has {len(entries):,}")
        composed = await self._compose_many(entries, bounds)
        messages = [message for message in composed if isinstance(message, Outgoing)]
        answers = iter(zip(messages, await self._dispatch(messages), strict=True))
        return [_outcome(*next(answers)) if isinstance(each, Outgoing) else each for each in composed]

    async def _compose_many(self, entries: Sequence[Any], bounds: Bounds) -> list[Outgoing | str]:
        read: list[MessageIn | str] = []
        for index, entry in enumerate(entries):
            read.append(_in_bounds(_read(entry), bounds))
            await _yield_to_others(index)
        missing = await self.known_bots.missing(each.bot for each in read if isinstance(each, MessageIn))
        messages: list[Outgoing | str] = []
        for index, each in enumerate(read):
            messages.append(self._compose_or_explain(each, missing) if isinstance(each, MessageIn) else each)
            await _yield_to_others(index)
        return messages

    def _compose_or_explain(self, request: MessageIn, missing: set[int]) -> Outgoing | str:
        if request.bot in missing:
            return str(unknown_bot(request.bot))
        try:
            return compose(self._dependencies, request)
        except Refusal as refusal:
            return str(refusal)

    async def _keep(self, message: Outgoing, files: Mapping[str, Spooled]) -> None:
        if (refusal := await self._dependencies.dispatcher.refusal(message)) is not None:
            raise refusal
        await self._dependencies.attachments.keep(message, files)

    async def _submit(self, message: Outgoing) -> Submitted:
        try:
            submitted = await self._dispatch_one(message)
        except EngineError:
            await self._dependencies.attachments.forget(message)
            raise
        if submitted.id != message.id:
            await self._dependencies.attachments.forget(message)
        return submitted

    async def _dispatch_one(self, message: Outgoing) -> Submitted:
        await self.known_bots.check(message.bot_id)  # it may have been removed while a file was stored
        match (await self._dispatch([message]))[0]:
            case Accepted():
                return Submitted(message.id, Status.QUEUED)
            case Known(message_id, status):
                return Submitted(message_id, status)
            case EngineError() as refused:
                raise refused

    async def _submit_and_wait(self, message: Outgoing, wait_s: float) -> Submitted | MessageState:
        # Before it is submitted, because it may be sent before the submission returns.
        with _expect(self._dependencies.results, message.id) as result:
            submitted = await self._submit(message)
            if submitted.id == message.id:
                return await self._wait_for_end(submitted, result, wait_s)
        with _expect(self._dependencies.results, submitted.id) as result:
            return await self._wait_for_end(submitted, result, wait_s)

    async def _dispatch(self, messages: Sequence[Outgoing]) -> list[Submission]:
        try:
            return await self._dependencies.dispatcher.submit(messages)
        except BrokerUnavailable as error:
            # The ledger may have them, and then they will be sent: a 503 would make the client submit them twice.
            log.warning("accepted_not_admitted", messages=len(messages), reason=str(error))
            return [await self._find(message, error) for message in messages]

    async def _find(self, message: Outgoing, error: BrokerUnavailable) -> Submission:
        if await self._dependencies.history.message(message.id) is None:
            raise error
        return Accepted()

    async def _wait_for_end(
        self, submitted: Submitted, result: asyncio.Future[Result], wait_s: float
    ) -> Submitted | MessageState:
        if submitted.status in OPEN:
            # The server ends where this is cancelled: the message is accepted, and is not to be submitted again.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([result], timeout=wait_s)
        state = await _state(self._dependencies.history, submitted.id)
        return submitted if state is None or state.status in OPEN else state


def compose(dependencies: Dependencies, request: MessageIn, files: Collection[str] = ()) -> Outgoing:
    """Return the engine's message of a request.

    Raises:
        Refusal: Telegram has no such method, or would refuse its parameters.
    """
    ready_at_ms = request.send_at or 0
    return dependencies.composer.compose(
        request.bot,
        request.chat_id,
        request.method or "sendMessage",
        request.params if request.text is None else _text_params(dependencies, request),
        files=files,
        priority=request.priority,
        ready_at_ms=ready_at_ms,
        expires_at_ms=_expires_at_ms(request, max(ready_at_ms, dependencies.clock())),
        guarantee=request.delivery,
        dedup_key=None if request.dedup_key is None else client_key(request.dedup_key),
        user_id=request.user_id,
        tag=request.tag,
    )


def client_key(key: str) -> str:
    """Return a client's ``dedup_key`` as it is stored: its prefix keeps it from the keys of handlers."""
    return f"client:{key}"


def _text_params(dependencies: Dependencies, request: MessageIn) -> dict[str, Any]:
    """Return the parameters of a text: the bot's defaults, as aiogram would add them, under those of the request."""
    return {**dependencies.fleet.text_params(request.bot), **request.params, "text": request.text}


def _expires_at_ms(request: MessageIn, from_ms: int) -> int | None:
    return None if request.expires_in_s is None else from_ms + round(request.expires_in_s * 1_000)


def _in_bounds(entry: MessageIn | str, bounds: Bounds) -> MessageIn | str:
    """Return a sentence in place of a message of a bot that the caller's token is not for."""
    if isinstance(entry, str) or bounds.has(entry.bot):
        return entry
    return f"this token is not for bot {entry.bot}"


def _read(entry: Any) -> MessageIn | str:
    if isinstance(entry, Malformed):  # see ``http.batch_entries``
        return str(entry)
    if not isinstance(entry, dict):
        return "an entry should be a JSON object"
    try:
        return MESSAGE.validate_python(entry)
    except ValidationError as error:
        return first_sentence(error)


def _outcome(message: Outgoing, answer: Submission) -> Submitted | str:
    match answer:
        case Accepted():
            return Submitted(message.id, Status.QUEUED)
        case Known(message_id, status):
            return Submitted(message_id, status)
        case QueueFull() | ChatUnreachable() | TargetLost() | UnstorableValue() as refused:
            return str(refused)
        case LedgerError():
            return LEDGER_AWAY


async def _state(history: MessageHistory, message_id: str) -> MessageState | None:
    try:
        return await history.message(message_id)
    except LedgerError:
        return None  # it is accepted, and an error would say the opposite


async def _yield_to_others(index: int) -> None:
    if index % YIELD_EVERY == YIELD_EVERY - 1:
        await asyncio.sleep(0)


@contextlib.contextmanager
def _expect(results: Results, message_id: str) -> Iterator[asyncio.Future[Result]]:
    result = results.expect(message_id)
    try:
        yield result
    finally:
        results.forget(message_id, result)
