"""Asks sources for the items that are due, within the limits of their services.

Each source has runs of its own, so that one that is slow, fails or is slowed costs the others nothing. What a source
raises may hold the address that was asked, and that a key: its text stands in no log.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError, LedgerError
from tempogram.engine.model.watches import HOUR_MS, Check, Item, Watched, WatchRules
from tempogram.engine.observability.watch_metrics import WatchMetrics
from tempogram.engine.ports.watch_store import Source, WatchStore
from tempogram.engine.resilience.backoff import doubled_ms
from tempogram.engine.services.answers import status_of
from tempogram.engine.services.errors import CallOverdue, ServiceError
from tempogram.engine.services.services import CallOptions, ServiceCalls
from tempogram.engine.watches.answers import NoAnswer, fields_of
from tempogram.engine.watches.pace import Pace

log = structlog.get_logger()

BATCH = 50
"""Items that are read at once. A page view may change which are due next."""

RUN_MS = 50_000
"""How long one run checks at the most; the next one goes on. untuned: a task of a minute ends within it."""

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
        self._paces = {name: Pace(rules.pause_ms) for name in sources}
        self._began_ms: dict[str, int] = {}
        self._demanded: dict[Item, asyncio.Task[Watched]] = {}

    async def run(self, source: str) -> timedelta | None:
        """Check what is due of a source; return when to go on if there is more, None if there is not.

        A source whose service refuses calls, or has no place for one, is left alone until the next run.
        """
        self._paces[source].resume(await self._store.pause_ms(source))
        until_ms = self._clock() + RUN_MS
        while due := await self._store.due(self._rules, source, now_ms=self._clock(), limit=BATCH):
            for each in due:
                wait_ms = self._wait_ms(source)
                if self._clock() + wait_ms > until_ms:
                    return timedelta(milliseconds=wait_ms)
                if wait_ms:
                    await self._sleep(wait_ms / 1_000)
                if not await self._check(each):
                    return None
        return None

    async def on_demand(self, known: Watched) -> Watched:
        """Ask for an item at once, and return it as it is then; as it was, if its source does not answer.

        However many ask for the same item at once, its source is asked once; after a failure, and while the pace of the
        source is slowed, not sooner than without them.
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
        if known.failures and self._clock() < known.attempted_at_ms + again_ms(known.failures - 1):
            return known
        pace = self._paces[known.item.source]
        pace.resume(await self._store.pause_ms(known.item.source))
        if pace.is_slowed and self._wait_ms(known.item.source):
            return known
        await self._check(known, DEMAND)
        return await self._store.item(known.item) or known

    def _wait_ms(self, source: str) -> int:
        """Return how long the source may not be asked yet."""
        next_ms = self._began_ms.get(source, 0) + self._paces[source].pause_ms
        return max(0, next_ms - self._clock())

    async def _check(self, known: Watched, options: CallOptions | None = None) -> bool:
        """Ask for one item and store what came of it; return False if its service takes no calls now."""
        source, was_asked = self._sources[known.item.source], False

        async def fetch(key: str) -> Mapping[str, object]:
            nonlocal was_asked
            was_asked = True
            try:
                return await source.fetch(key)
            except asyncio.CancelledError as error:
                if is_cancelled():
                    raise
                raise NoAnswer("something that the source awaited was cancelled") from error

        self._began_ms[source.name] = self._clock()
        try:
            answer = await self._services.call_with(
                options or BACKGROUND, source.service, source.operation, fetch, known.item.key
            )
            check = Check(of=known, at_ms=self._clock(), fields=fields_of(answer))
        except Exception as error:  # noqa: BLE001 - of code that is not ours, and named in the log
            if isinstance(error, ServiceError) and not (was_asked and isinstance(error, CallOverdue)):
                log.info("watch_source_waits", source=source.name, reason=str(error))
                self._metrics.count_check(source.name, "waits")
                return False
            log.warning("watch_item_not_answered", source=source.name, key=known.item.key, reason=reason_of(error))
            check = Check(of=known, at_ms=self._clock(), again_at_ms=self._clock() + again_ms(known.failures))
        is_typed = options is DEMAND and known.fields is None  # perhaps there is no such item
        await self._note(check, tells_of_source=not (known.failures or is_typed))
        return True

    async def _note(self, check: Check, *, tells_of_source: bool) -> None:
        source, failed = check.of.item.source, check.fields is None
        pace = self._paces[source]
        before_ms = pace.pause_ms
        if not failed or tells_of_source:
            pace.note(failed=failed)
        is_stored = await self._store.note(check, debounce_ms=self._rules.debounce_ms)
        self._metrics.count_check(source, "failed" if failed else "answered")
        if is_stored and check.is_change:
            self._metrics.count_change(source)
        if pace.pause_ms != before_ms:
            log.warning("watch_pace_changed", source=source, pause_ms=pace.pause_ms)
            await self._keep_pause(source, pace.pause_ms if pace.is_slowed else 0)

    async def _keep_pause(self, source: str, pause_ms: int) -> None:
        try:
            await self._store.keep_pause(source, pause_ms)
        except LedgerError as error:  # the answer is stored, and its caller gets it
            log.warning("watch_pause_not_kept", source=source, reason=str(error))


BACKGROUND = CallOptions(priority="low", when_full="wait")


def again_ms(failures: int) -> int:
    """Return how long after a failure an item is asked for again.

    >>> again_ms(0), again_ms(1), again_ms(20)
    (60000, 120000, 21600000)
    """
    return doubled_ms(AGAIN_MS, failures, ms_max=AGAIN_MS_MAX)


def reason_of(error: Exception) -> str:
    """Return what is said of an error: its kind, its HTTP status and its line, as its text may hold an address.

    >>> reason_of(NoAnswer("a source answered with 60 fields; there may be 50"))
    'a source answered with 60 fields; there may be 50'
    >>> reason_of(OSError("https://shop.example/tea?apikey=secret"))
    'OSError'
    """
    if isinstance(error, EngineError):
        return str(error)
    status, frames = status_of(error), traceback.extract_tb(error.__traceback__)
    line = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return type(error).__name__ + (f" with HTTP status {status}" if status is not None else "") + line


def is_cancelled() -> bool:
    """Tell whether it is this task that was cancelled, and not something that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
