"""The one way to end a message without sending it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import ChatId, Outgoing, Status
from tempogram.engine.model.outcomes import Outcome
from tempogram.engine.ports import Broker, Clock, Fault, Ledger, Queued, Record, Replaced, Result, Results, Verdict
from tempogram.engine.ports.broker import BATCH_MAX, EXPIRED_MAX
from tempogram.engine.resilience.batcher import BatchedCalls
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import retry_ledger
from tempogram.engine.resilience.retry import Sleep

log = structlog.get_logger()

PAGE = 1_000
"""Messages of a removed bot that are read from the ledger at a time."""

ENDED_MAX = 250
"""Messages that the ledger ends in one transaction, as every other write waits for it. untuned: 3 to 10 ms."""


@dataclass(frozen=True, slots=True)
class End:
    """How a message ends.

    Attributes:
        outcome: For a caller that awaits one.
        replaced_by: The id of the message that goes in its place.
    """

    status: Status
    fault: Fault
    outcome: Outcome | None = None
    replaced_by: str | None = None


EXPIRED = End(Status.EXPIRED, Fault(code=None, reason="its time ran out before its turn came"))
TARGET_DELETED = End(Status.CANCELLED, Fault(code=None, reason="the message it would change was deleted"))
REPLACED_BY = "replaced by "
"""How the reason of a message begins that a newer one made needless; the id of that one follows."""

BOT_REMOVED = End(Status.CANCELLED, Fault(code=None, reason="its bot was removed"))


def _ignore(_ended: int) -> None:
    """Count nothing."""


@dataclass(slots=True)
class Withdrawn:
    """How many messages were ended, and how many were left: being sent now, or not in the queue yet."""

    ended: int = 0
    left: int = 0


class Closer:
    """Ends messages in one order: the queue forgets them, the ledger records their end, the result is published.

    What the queue has forgotten no worker can lease, so the ledger may end it. From then on this process alone knows
    of it: a ledger that refuses is asked until it records the end. A message that stayed open would be queued again,
    and an edit might then undo a newer one. A crash in between leaves the messages open in the ledger.

    The ``record_…`` methods are for what the broker has taken out by itself; ``drop``, ``clear_bot`` and ``withdraw``
    ask it first; ``end_cancelled`` is the end of ``Cancellations``, which does.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        broker: Broker,
        results: Results,
        conditions: Conditions,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._results = results
        self._conditions = conditions
        self._clock = clock
        self._sleep = sleep
        self._expired = BatchedCalls(self._end_expired, batch_max=ENDED_MAX // (EXPIRED_MAX + BATCH_MAX))

    async def record_expired(self, messages: Sequence[Outgoing]) -> None:
        """End what the broker found expired. A crash before this loses nothing: rebuilt, it finds them again.

        What is found while others are recorded goes together in the next transaction: of all of it only one stands
        before what is submitted meanwhile.
        """
        if messages:
            await self._expired.ask(messages)

    async def record_replaced(self, messages: Sequence[Outgoing], verdicts: Sequence[Verdict]) -> None:
        """End what an admission of these messages replaced, by its verdicts. No verdicts: the broker was away.

        A crash before this loses nothing: the broker, rebuilt, replaces them again.
        """
        await self._record(list(_replaced(messages, verdicts)))

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: Sequence[str]) -> None:
        """End what waits to change messages that were deleted.

        What a crash leaves, or a broker that is away, is sent, and Telegram refuses it.
        """
        for each in replaces:
            try:
                dropped = await self._broker.drop(bot_id, chat_id, each)
            except BrokerUnavailable as error:
                log.debug("edits_not_dropped", bot_id=bot_id, error=str(error))
                return
            await self._record([(message, TARGET_DELETED) for message in dropped])

    async def clear_bot(self, bot_id: int, *, before_id: str, count: Callable[[int], None] = _ignore) -> Withdrawn:
        """Go once through the open messages of a removed bot, which must be paused; repeat until none is left.

        Args:
            bot_id: The bot.
            before_id: Those from this id on are left.
            count: Gets how many were ended, again and again.

        Raises:
            LedgerError: Some are ended; the next round gets the rest.
            BrokerUnavailable: Likewise.
        """
        return await self.withdraw(self._pages_of_bot(bot_id, before_id), BOT_REMOVED, count=count)

    async def withdraw(
        self, pages: AsyncIterator[Sequence[str]], end: End, *, count: Callable[[int], None] = _ignore
    ) -> Withdrawn:
        """End what is on these pages of ids and the broker still has waiting.

        It goes by small batches, so that what others send and submit meanwhile waits for none of it.

        Raises:
            LedgerError: A page could not be read; those before it are ended.
            BrokerUnavailable: Some are not ended, and wait as before.
        """
        withdrawn = Withdrawn()
        async for page in pages:
            for batch in batches(page, ENDED_MAX):
                ended = await self._withdraw(batch, end)
                count(ended)
                withdrawn.ended += ended
                withdrawn.left += len(batch) - ended
        return withdrawn

    async def end_cancelled(self, message_id: str) -> bool:
        """End one message that the broker has forgotten; False if it has another end.

        Raises:
            LedgerError: It is not ended; repeat until it is.
        """
        if not await self._ledger.cancel(message_id, now_ms=self._clock()):
            return False
        await self._forget_again([message_id])
        await self._results.publish(Result(message_id, Status.CANCELLED, None))
        return True

    async def _withdraw(self, message_ids: Sequence[str], end: End) -> int:
        forgotten: list[str] = []
        try:
            await self._forget(message_ids, forgotten)
        except BrokerUnavailable:
            await self._end(forgotten, end, forget_again=True)
            raise
        await self._end(forgotten, end, forget_again=True)
        return len(forgotten)

    async def _forget(self, message_ids: Sequence[str], forgotten: list[str]) -> None:
        """Let the broker forget what it has waiting, and note in ``forgotten`` what that was."""
        for batch in batches(message_ids, BATCH_MAX):
            answers = await self._broker.cancel(batch)
            forgotten += [message_id for message_id, is_gone in zip(batch, answers, strict=True) if is_gone]
            await asyncio.sleep(0)  # a million of them must not block the event loop

    async def _end(self, message_ids: Sequence[str], end: End, *, forget_again: bool = False) -> None:
        """Let the ledger end messages that the broker has forgotten, all in the same way."""
        if not message_ids:
            return
        write = partial(self._ledger.end_many, message_ids, status=end.status, fault=end.fault)
        await retry_ledger(lambda: write(now_ms=self._clock()), sleep=self._sleep, conditions=self._conditions)
        if forget_again:
            await self._forget_again(message_ids)
        for message_id in message_ids:
            await self._results.publish(Result(message_id, end.status, end.outcome))

    async def _end_expired(self, found: Sequence[Sequence[Outgoing]]) -> Sequence[None]:
        await self._end([message.id for messages in found for message in messages], EXPIRED)
        return [None] * len(found)

    async def _record(self, ends: Sequence[tuple[Outgoing, End]]) -> None:
        if not ends:
            return
        records = [self._record_of(message, end) for message, end in ends]
        await retry_ledger(lambda: self._ledger.record(records), sleep=self._sleep, conditions=self._conditions)
        for message, end in ends:
            await self._results.publish(Result(message.id, end.status, end.outcome, replaced_by=end.replaced_by))

    async def _forget_again(self, message_ids: Sequence[str]) -> None:
        """Let the broker forget them once more: a rebuild may have read them before the ledger recorded their end."""
        with suppress(BrokerUnavailable):  # it has forgotten everything, or is rebuilt from the ledger, which knows
            await self._forget(message_ids, [])

    def _record_of(self, message: Outgoing, end: End) -> Record:
        return Record(
            message_id=message.id,
            bot_id=message.bot_id,
            chat_id=message.chat_id,
            cost=message.cost,
            status=end.status,
            attempt=message.attempt,
            recorded_at_ms=self._clock(),
            fault=end.fault,
        )

    async def _pages_of_bot(self, bot_id: int, before_id: str) -> AsyncIterator[list[str]]:
        after_id = ""
        while page := await self._ledger.open_ids(after_id=after_id, limit=PAGE, bot_id=bot_id):
            after_id = page[-1]
            yield [message_id for message_id in page if message_id < before_id]
            if after_id >= before_id:
                return


def _replaced(messages: Sequence[Outgoing], verdicts: Sequence[Verdict]) -> Iterator[tuple[Outgoing, End]]:
    for message, verdict in zip(messages, verdicts, strict=False):
        match verdict:
            case Queued(instead_of=Outgoing() as older):
                yield older, _replaced_by(message.id)
            case Replaced(by):
                yield message, _replaced_by(by)


def _replaced_by(message_id: str) -> End:
    fault = Fault(code=None, reason=REPLACED_BY + message_id)
    return End(Status.CANCELLED, fault, replaced_by=message_id)
