"""One computation for all callers of this process that ask for the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Any]
    callers: int = 0
    is_unasked: bool = False


class SingleFlight(Generic[K]):
    """Computations under way, by what is computed.

    A caller that is cancelled leaves the others theirs; with the last caller the computation is cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: K, compute: Callable[[], Awaitable[Any]]) -> Any:
        """Return what is computed under this key, or raise what that raises."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._begin(key, compute)
        flight.callers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.callers -= 1
            if not flight.callers and not flight.is_unasked and not flight.task.done():
                self._end(key, flight)
                flight.task.cancel()

    def begin(self, key: K, compute: Callable[[], Awaitable[Any]]) -> None:
        """Compute it without a caller that waits; what it raises is for those that join."""
        if key not in self._flights:
            self._begin(key, compute).is_unasked = True

    async def close(self) -> None:
        """Cancel those for which no caller waits."""
        tasks = [flight.task for flight in self._flights.values() if not flight.callers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: K, compute: Callable[[], Awaitable[Any]]) -> _Flight:
        async def fly() -> Any:
            return await compute()

        flight = self._flights[key] = _Flight(asyncio.get_running_loop().create_task(fly()))

        def land(task: asyncio.Task[Any]) -> None:
            self._end(key, flight)
            if not task.cancelled():
                task.exception()  # it is the callers', if there are any

        flight.task.add_done_callback(land)
        return flight

    def _end(self, key: K, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
