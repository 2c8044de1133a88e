"""Asks sources for the items that are due, one after the other, within the limits of their services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.watches import HOUR_MS, Check, Item, Watched, WatchRules
from tempogram.engine.observability.watch_metrics import WatchMetrics
from tempogram.engine.ports.watch_store import Source, WatchStore
from tempogram.engine.resilience.backoff import doubled_ms
from tempogram.engine.services.errors import ServiceError
from tempogram.engine.services.services import CallOptions, ServiceCalls
from tempogram.engine.watches.answers import fields_of
from tempogram.engine.watches.pace import Pace

log = structlog.get_logger()

BATCH = 50
"""Items that are read at once. A page view may change which are due next."""

RUN_MS = 50_000
"""How long one run checks at the most; the next one goes on at once. untuned: a task of a minute ends within it."""

AGAIN_MS = 60_000
AGAIN_MS_MAX = 6 * HOUR_MS
"""When an item is asked for again that its source did not answer for; doubled for each further time in a row."""

DEMAND = CallOptions(priority="high", deadline_s=10)
"""Of a call that a person waits for."""

Sleep = Callable[[float], Awaitable[None]]


class Watcher:
    """See the module. It stores every answer as it comes: what a kill interrupts is due again.

    Args:
        sources: By name.
        clock: Milliseconds since the epoch.
    """

    def __init__(
        self,
        store: WatchStore,
        sources: Mapping[str, Source],
        services: ServiceCalls,
        rules: WatchRules,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        metrics: WatchMetrics | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._services = services
        self._rules = rules
        self._clock = clock
        self._sleep = sleep
        self._metrics = metrics or WatchMetrics()
        self._metrics.paces = self._paces_now
        self._paces = {name: Pace(rules.pause_ms) for name in sources}
        self._began_ms: dict[str, int] = {}
        self._demanded: dict[Item, asyncio.Task[Watched]] = {}

    async def run(self) -> timedelta | None:
        """Check what is due; return when to go on if there is more, None if there is not.

        A source whose service refuses calls, or has no place for one, is left alone until the next run.
        """
        until_ms, left = self._clock() + RUN_MS, set(self._sources)
        while left:
            due = await self._store.due(self._rules, left, now_ms=self._clock(), limit=BATCH)
            if not due:
                return None
            for each in due:
                if each.item.source not in left:
                    continue
                if not await self._pause(each.item.source, until_ms):
                    return timedelta()
                if not await self._check(each):
                    left.discard(each.item.source)
        return None

    async def on_demand(self, known: Watched) -> Watched:
        """Ask for an item at once, and return it as it is then; as it was, if its source does not answer.

        However many ask for the same item at once, its source is asked once.
        """
        under_way = self._demanded.get(known.item)
        if under_way is None:
            under_way = self._demanded[known.item] = asyncio.create_task(self._demand(known))
            under_way.add_done_callback(lambda _: self._demanded.pop(known.item, None))
        return await asyncio.shield(under_way)

    async def close(self) -> None:
        """Cancel the calls that persons wait for."""
        under_way = list(self._demanded.values())
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _demand(self, known: Watched) -> Watched:
        now = await self._store.item(known.item)
        if now is not None and now.attempted_at_ms > known.attempted_at_ms:
            return now  # asked for since the caller looked
        self._began_ms[known.item.source] = self._clock()
        await self._check(known, DEMAND)
        return await self._store.item(known.item) or known

    async def _pause(self, source: str, until_ms: int) -> bool:
        """Wait until the source may be asked again; return False if that is after ``until_ms``."""
        next_ms = self._began_ms.get(source, 0) + self._paces[source].pause_ms
        wait_ms = next_ms - self._clock()
        if max(next_ms, self._clock()) > until_ms:
            return False
        if wait_ms > 0:
            await self._sleep(wait_ms / 1_000)
        self._began_ms[source] = self._clock()
        return True

    async def _check(self, known: Watched, options: CallOptions | None = None) -> bool:
        """Ask for one item and store what came of it; return False if its service takes no calls now."""
        source = self._sources[known.item.source]
        try:
            answer = await self._services.call_with(
                options or BACKGROUND, source.service, source.operation, source.fetch, known.item.key
            )
            check = Check(of=known, at_ms=self._clock(), fields=fields_of(answer))
        except ServiceError as error:
            log.info("watch_source_waits", source=source.name, reason=str(error))
            self._metrics.count_check(source.name, "waits")
            return False
        except Exception as error:  # noqa: BLE001 - of code that is not ours, and named in the log
            reason = f"{type(error).__name__}: {error}"[:200]
            log.warning("watch_item_not_answered", source=source.name, key=known.item.key, reason=reason)
            check = Check(of=known, at_ms=self._clock(), again_at_ms=self._clock() + again_ms(known.failures))
        await self._note(check)
        return True

    async def _note(self, check: Check) -> None:
        source, failed = check.of.item.source, check.fields is None
        pace = self._paces[source]
        was_slowed = pace.is_slowed
        pace.note(failed=failed)
        if pace.is_slowed != was_slowed:
            log.warning("watch_pace_changed", source=source, pause_ms=pace.pause_ms)
        (is_stored,) = await self._store.note([check], debounce_ms=self._rules.debounce_ms)
        self._metrics.count_check(source, "failed" if failed else "answered")
        if is_stored and check.is_change:
            self._metrics.count_change(source)

    def _paces_now(self) -> Mapping[str, int]:
        return {name: pace.pause_ms for name, pace in self._paces.items()}


BACKGROUND = CallOptions(priority="low", when_full="wait")


def again_ms(failures: int) -> int:
    """Return how long after a failure an item is asked for again.

    >>> again_ms(0), again_ms(1), again_ms(20)
    (60000, 120000, 21600000)
    """
    return doubled_ms(AGAIN_MS, failures, ms_max=AGAIN_MS_MAX)
