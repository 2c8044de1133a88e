"""Many deliveries, one call: what is to be settled while the broker is asked is settled together with the next call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tempogram.engine.model.messages import Settlement
from tempogram.engine.ports import Broker, Settled
from tempogram.engine.ports.broker import BATCH_MAX


class SettleBatcher:
    """Gathers settlements.

    There is no delay: one that comes alone is a call of its own. Those that come while it is under way go
    together in the next one. A broker that answers at once never has any waiting.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: deque[_Entry] = deque()
        self._is_asking = False
        self._gathered: asyncio.Task[None] | None = None

    async def settle(self, settlement: Settlement) -> Settled:
        """End a lease; see ``Broker.settle``.

        Raises:
            BrokerUnavailable: As there. It may be settled again.
        """
        if self._is_asking:
            entry = _Entry(settlement, asyncio.get_running_loop().create_future())
            self._waiting.append(entry)
            return await entry.future
        self._is_asking = True
        try:
            return (await self._broker.settle([settlement]))[0]
        finally:
            self._go_on()

    def _go_on(self) -> None:
        """Let the waiting go, in a task of its own: whoever was first has its answer."""
        self._is_asking = bool(self._waiting)
        if self._waiting:
            self._gathered = asyncio.create_task(self._settle_waiting())

    async def _settle_waiting(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), BATCH_MAX)
                await self._settle_together([self._waiting.popleft() for _ in range(count)])
        finally:
            self._is_asking = False
            for entry in self._waiting:
                entry.future.cancel()

    async def _settle_together(self, entries: Sequence[_Entry]) -> None:
        try:
            settled = await self._broker.settle([entry.settlement for entry in entries])
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller must hear of it
            for entry in entries:
                if not entry.future.done():
                    entry.future.set_exception(error)
            return
        for entry, answer in zip(entries, settled, strict=True):
            if not entry.future.done():
                entry.future.set_result(answer)


@dataclass(frozen=True, slots=True)
class _Entry:
    settlement: Settlement
    future: asyncio.Future[Settled]
