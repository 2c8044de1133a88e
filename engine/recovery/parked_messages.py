"""Messages that wait outside of every lane until others have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from msgspec.structs import replace

from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.messages import KEPT_METHOD, OPEN, PARKED_MS, Outgoing
from tempogram.engine.ports import Broker, Handles, Ledger, Result, Results
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import monitored
from tempogram.engine.resilience.retry import every

log = structlog.get_logger()

LOOK_S = 15.0
"""Between two looks. untuned: one finds only what another process parked that has ended, or whose result was lost."""

WATCHED_MAX = 10_000
"""Messages whose end is awaited here; of any beyond, the next look finds it."""


class ParkedMessages:
    """Lets a parked message go as soon as all that it waits for has ended, sent or not.

    It stands in the queue with a time that never comes (``PARKED_MS``), so that it can expire, be cancelled and be
    explained like any other; then it is amended to be ready, and enters its lane at its position by id. What it waits
    for is in the ledger, so any process finds what another one has parked.
    """

    def __init__(
        self, *, handles: Handles, ledger: Ledger, broker: Broker, results: Results, conditions: Conditions
    ) -> None:
        self._handles = handles
        self._ledger = ledger
        self._broker = broker
        self._results = results
        self._conditions = conditions
        self._watched: dict[str, asyncio.Future[Result]] = {}
        self._ended = asyncio.Event()

    def watch(self, message_ids: Iterable[str]) -> None:
        """Look as soon as one of these ends. To be called before what waits for them is submitted."""
        for message_id in message_ids:
            if message_id not in self._watched and len(self._watched) < WATCHED_MAX:
                self._watched[message_id] = future = self._results.expect(message_id)
                future.add_done_callback(partial(self._end, message_id))

    @property
    def watched(self) -> set[str]:
        return set(self._watched)

    async def run(self) -> None:
        """Let go what may go, until cancelled."""
        repeat = partial(every, failed="parked_messages_failed", expected=(LedgerError, BrokerUnavailable))
        await asyncio.gather(repeat(0, self._look), repeat(LOOK_S, self.forget_ended))

    async def release(self) -> int:
        """Let go what may go now; return how many messages that were.

        Raises:
            LedgerError: Some may wait until the next look.
            BrokerUnavailable: The same.
        """
        released = 0
        while message_ids := await self._handles.releasable(limit=BATCH_MAX):
            amended = await self._release(message_ids)
            released += amended
            if amended < BATCH_MAX:  # there are no more, or the queue does not know some yet
                break
        return released

    async def park(self, message: Outgoing) -> None:
        """Take a message that is due, but not ready, out of its lane until all that it waits for has ended.

        If that fails, it is leased again soon, and is not ready then either.
        """
        parked = replace(message, method=KEPT_METHOD, params=b"", ready_at_ms=PARKED_MS)
        try:
            self.watch(await self._handles.awaited(message.id))
            await self._ledger.amend([parked])  # first: what only the queue has as parked would never be released
            await self._broker.amend([parked])
            if not await self._is_parked(message.id):  # released meanwhile
                await self._broker.amend([_ready(message)])
        except (LedgerError, BrokerUnavailable) as error:
            log.debug("message_not_parked", message_id=message.id, reason=str(error))

    async def forget_ended(self) -> None:
        """Watch no more what has ended, though no result of it came: it may have ended before it was watched.

        Raises:
            LedgerError: The others are watched until the next time.
        """
        for watched in batches(list(self._watched.items()), BATCH_MAX):
            known = await self._ledger.standings([message_id for message_id, _ in watched])
            for (message_id, future), each in zip(watched, known, strict=True):
                if (each is None or each.status not in OPEN) and self._watched.get(message_id) is future:
                    self._end(message_id, future)

    async def _release(self, message_ids: Sequence[str]) -> int:
        """Make messages ready, whatever an edit makes of their content meanwhile."""
        ready = [_ready(each) for each in await self._ledger.open_among(message_ids)]
        are_amended = await self._broker.amend(ready)
        amended = [message for message, is_amended in zip(ready, are_amended, strict=True) if is_amended]
        if amended:
            await self._ledger.amend(amended)
            await self._broker.amend(amended)  # a queue that was rebuilt meanwhile has read them as parked
        return len(amended)

    async def _is_parked(self, message_id: str) -> bool:
        return any(each.ready_at_ms == PARKED_MS for each in await self._ledger.open_among([message_id]))

    async def _look(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._ended.wait()
        self._ended.clear()
        with monitored(self._conditions, seen_by="the release of parked messages"):
            await self.release()

    def _end(self, message_id: str, future: asyncio.Future[Result]) -> None:
        self._watched.pop(message_id, None)
        self._results.forget(message_id, future)
        self._ended.set()


def _ready(parked: Outgoing) -> Outgoing:
    return replace(parked, method=KEPT_METHOD, params=b"", ready_at_ms=0)
