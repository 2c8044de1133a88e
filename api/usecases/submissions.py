"""How a message gets from a request into the engine, and its end back to a client who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from tempogram.api.core.dependencies import Services
from tempogram.api.core.errors import Invalid
from tempogram.api.core.ports import Refusal
from tempogram.api.core.repositories import MessageHistory
from tempogram.api.core.validation_messages import sentence_of
from tempogram.api.schemas.messages import BATCH_MAX, MessageIn
from tempogram.api.usecases.known_bots import KnownBots, stranger
from tempogram.engine.dispatcher import Submission
from tempogram.engine.model.errors import BrokerUnavailable, ChatUnreachable, EngineError, LedgerError, QueueFull
from tempogram.engine.model.messages import OPEN, Outgoing, Status
from tempogram.engine.ports import Accepted, Known, Result, Results
from tempogram.storage.files.spool import Spooled
from tempogram.storage.messages import MessageState

log = structlog.get_logger()

MESSAGE = TypeAdapter(MessageIn)

BREATH = 200
"""Entries of a batch that are read before others have their turn: about 10 ms. A guess."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that is accepted, now or, with the same ``dedup_key``, before."""

    message_id: str
    status: Status


class Submissions:
    """The desk at which messages are handed in."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.known_bots = KnownBots(services.bots)
        services.fleet.when_removed(self.known_bots.forget)

    async def take(
        self, wanted: MessageIn, files: Mapping[str, Spooled] | None = None, *, wait_s: float = 0
    ) -> Taken | MessageState:
        """Accept one message with its files, and return its end if that comes within ``wait_s``.

        Raises:
            Refusal: It makes no sense.
            QueueFull: Too much waits already.
            ChatUnreachable: Telegram said that the chat takes nothing.
            LedgerError: The ledger is away. As with the others, nothing was accepted.
        """
        await self.known_bots.check(wanted.bot)
        message = composed(self._services, wanted, files or {})
        if files:
            await self._keep(message, files)
        if not wait_s:
            return await self._submit(message)
        return await self._submit_and_wait(message, wait_s)

    async def take_many(self, entries: Sequence[Any]) -> list[Taken | str]:
        """Accept messages; one answer each, in their order, with a sentence for each that is refused.

        Raises:
            Invalid: There are too many. Nothing was accepted.
            LedgerError: Nothing was accepted, as far as anybody knows.
        """
        if len(entries) > BATCH_MAX:
            raise Invalid(f"a batch takes {BATCH_MAX:,} messages at most, and this one has {len(entries):,}")
        composed = await self._compose_many(entries)
        messages = [message for message in composed if isinstance(message, Outgoing)]
        answers = iter(zip(messages, await self._dispatch(messages), strict=True))
        return [_told(*next(answers)) if isinstance(each, Outgoing) else each for each in composed]

    async def _compose_many(self, entries: Sequence[Any]) -> list[Outgoing | str]:
        read: list[MessageIn | str] = []
        for place, entry in enumerate(entries):
            read.append(_read(entry))
            await _breathe(place)
        missing = await self.known_bots.missing(each.bot for each in read if isinstance(each, MessageIn))
        messages: list[Outgoing | str] = []
        for place, each in enumerate(read):
            messages.append(self._composed_or_why_not(each, missing) if isinstance(each, MessageIn) else each)
            await _breathe(place)
        return messages

    def _composed_or_why_not(self, wanted: MessageIn, missing: set[int]) -> Outgoing | str:
        if wanted.bot in missing:
            return str(stranger(wanted.bot))
        try:
            return composed(self._services, wanted)
        except Refusal as refusal:
            return str(refusal)

    async def _keep(self, message: Outgoing, files: Mapping[str, Spooled]) -> None:
        if (lost := await self._services.dispatcher.refusal(message)) is not None:
            raise lost
        await self._services.attachments.keep(message, files)

    async def _submit(self, message: Outgoing) -> Taken:
        try:
            taken = await self._taken(message)
        except EngineError:
            await self._services.attachments.forget(message)
            raise
        if taken.message_id != message.id:
            await self._services.attachments.forget(message)
        return taken

    async def _taken(self, message: Outgoing) -> Taken:
        await self.known_bots.check(message.bot_id)  # it may have been removed while a file was kept
        match (await self._dispatch([message]))[0]:
            case Accepted():
                return Taken(message.id, Status.QUEUED)
            case Known(message_id, status):
                return Taken(message_id, status)
            case QueueFull() | ChatUnreachable() as refused:
                raise refused

    async def _submit_and_wait(self, message: Outgoing, wait_s: float) -> Taken | MessageState:
        # Expected before it is submitted: it may be sent before the submission returns.
        with _expected(self._services.results, message.id) as result:
            taken = await self._submit(message)
            if taken.message_id == message.id:
                return await self._ended(taken, result, wait_s)
        with _expected(self._services.results, taken.message_id) as result:
            return await self._ended(taken, result, wait_s)

    async def _dispatch(self, messages: Sequence[Outgoing]) -> list[Submission]:
        try:
            return await self._services.dispatcher.submit(messages)
        except BrokerUnavailable as error:
            # The ledger may have them all the same, and then they will be sent: a 503 would make the client
            # submit them twice.
            log.warning("accepted without a schedule", messages=len(messages), reason=str(error))
            return [await self._looked_up(message, error) for message in messages]

    async def _looked_up(self, message: Outgoing, error: BrokerUnavailable) -> Submission:
        if await self._services.history.message(message.id) is None:
            raise error
        return Accepted()

    async def _ended(self, taken: Taken, result: asyncio.Future[Result], wait_s: float) -> Taken | MessageState:
        if taken.status in OPEN:
            await asyncio.wait([result], timeout=wait_s)
        state = await _state(self._services.history, taken.message_id)
        return taken if state is None or state.status in OPEN else state


def composed(services: Services, wanted: MessageIn, files: Collection[str] = ()) -> Outgoing:
    """Make the engine's message.

    Raises:
        Refusal: Telegram has no such method, or would refuse its parameters.
    """
    ready_at_ms = wanted.send_at or 0
    return services.composer.compose(
        wanted.bot,
        wanted.chat_id,
        wanted.method or "sendMessage",
        wanted.params if wanted.text is None else {**wanted.params, "text": wanted.text},
        files=files,
        priority=wanted.priority,
        ready_at_ms=ready_at_ms,
        expires_at_ms=_expires_at_ms(wanted, max(ready_at_ms, services.clock())),
        guarantee=wanted.delivery,
        # Apart from the keys that intake makes: no client can take one of those.
        dedup_key=None if wanted.dedup_key is None else f"client:{wanted.dedup_key}",
    )


def _expires_at_ms(wanted: MessageIn, from_ms: int) -> int | None:
    return None if wanted.expires_in_s is None else from_ms + round(wanted.expires_in_s * 1_000)


def _read(entry: Any) -> MessageIn | str:
    try:
        return MESSAGE.validate_python(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return sentence_of({**first, "loc": ("entry", *first["loc"])})


def _told(message: Outgoing, answer: Submission) -> Taken | str:
    match answer:
        case Accepted():
            return Taken(message.id, Status.QUEUED)
        case Known(message_id, status):
            return Taken(message_id, status)
        case QueueFull() | ChatUnreachable() as refused:
            return str(refused)


async def _state(history: MessageHistory, message_id: str) -> MessageState | None:
    try:
        return await history.message(message_id)
    except LedgerError:
        return None  # it is accepted, and an error would say that it is not


async def _breathe(place: int) -> None:
    if place % BREATH == BREATH - 1:
        await asyncio.sleep(0)


@contextlib.contextmanager
def _expected(results: Results, message_id: str) -> Iterator[asyncio.Future[Result]]:
    result = results.expect(message_id)
    try:
        yield result
    finally:
        results.forget(message_id, result)
