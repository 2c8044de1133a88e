"""Reads an answer, or computes and keeps it: once, for all callers that ask meanwhile, in all processes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import structlog

from tempogram.engine.cache.entry import ENTRY_BYTES_MAX, Age, Entry, of_error, of_value, packed, unpacked
from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.cache.single_flight import SingleFlight
from tempogram.engine.cache.store import CacheStore, Seen, StoreAway, group_tag, key_tag, user_tag
from tempogram.engine.model.clock import Clock
from tempogram.engine.observability.cache_metrics import CacheMetrics, Got

log = structlog.get_logger()

LEASE_MS = 3_000
"""How long after a process was last heard of others wait for what it computes."""

BEAT_S = 1.0
"""How often it is heard of."""

GRACE_MS = 1_500
"""How long others wait when a lock is gone, and neither an answer nor a failure is there: an emptied Redis has it again
after a beat."""

FAILED_MS = 1_000
"""How long after a failure nothing is computed anew behind the callers' backs, and other processes need not wait."""

POLL_S, POLL_S_MAX = 0.01, 0.25
"""How often a process looks for what another one computes: at first, and at last. One of its callers does so."""

REFRESHES_MAX = 100
"""Entries that are computed anew at once behind the callers' backs; what is beyond stays as it is for now."""

IN_TIME = frozenset({Age.FRESH, Age.EARLY, Age.STALE})

Compute = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a computation.

    Attributes:
        entry: What can be kept of it; None: ``value`` has no JSON, and is for its callers only.
        outcome: Where it came from.
    """

    entry: Entry | None
    outcome: Got
    value: Any = None


@dataclass(slots=True)
class Lock:
    """A lock that this process has."""

    has_kept: bool = False


class Cache:
    """Keeps answers.

    Args:
        clock: Milliseconds since the epoch.
        metrics: Counts what came from where.
        sleep: For tests.
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        clock: Clock,
        metrics: CacheMetrics | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics or CacheMetrics()
        self._metrics.dropped = lambda: store.dropped
        self._sleep = sleep
        self._reading: SingleFlight[tuple[EntryName, tuple[str, ...]]] = SingleFlight()
        self._computing: SingleFlight[EntryName] = SingleFlight()
        self._refreshing = 0
        self._complained: set[str] = set()

    async def get_or_set(self, name: EntryName, compute: Compute, options: CacheOptions) -> Any:
        """Return what is kept under a name, or compute and keep it.

        Every caller gets a value of its own, made from JSON.

        Raises:
            Exception: What ``compute`` raised; or one of ``options.errors`` that is kept.
        """
        try:
            seen = await self._read(name, options)
        except StoreAway:
            seen = None
        entry, age = self._judged(seen, options)
        if seen is not None and entry is not None and age in IN_TIME:
            if age is not Age.FRESH:
                self._refresh(name, compute, options, seen)
            with suppress(msgspec.ValidationError):  # another version of the program kept another type
                return self._answered(name, entry, options, _got(entry, age))
        is_spare = entry is not None and age is Age.STALE_IF_ERROR and entry.is_readable(options)
        spare = entry if is_spare else None
        is_first = name not in self._computing
        answer: Answer = await self._computing.join(name, partial(self._compute, name, compute, options, spare))
        if answer.entry is None:
            self._metrics.gets[name.group, answer.outcome] += 1
            return answer.value
        outcome = answer.outcome if is_first or answer.outcome is not Got.MISS else Got.SHARED
        return self._answered(name, answer.entry, options, outcome)

    async def forget(
        self, names: Collection[EntryName] = (), *, tags: Collection[str] = (), groups: Collection[str] = ()
    ) -> None:
        """Forget answers, all that have one of these tags, and all of these groups; also those that are computed now.

        Raises:
            StoreAway: Redis does not answer; they may be there still.
        """
        await self._store.forget([*map(key_tag, names), *map(user_tag, tags), *map(group_tag, groups)])

    async def close(self) -> None:
        """End what is computed behind the callers' backs; what callers wait for ends by itself."""
        await self._computing.close()

    async def _read(self, name: EntryName, options: CacheOptions) -> Seen:
        if not self._store.is_shared:
            return await self._store.read(name, options.tags)
        read = partial(self._store.read, name, options.tags)
        seen: Seen = await self._reading.join((name, options.tags), read)  # one round trip for all that ask at once
        return seen

    def _judged(self, seen: Seen | None, options: CacheOptions) -> tuple[Entry | None, Age]:
        entry = None if seen is None else unpacked(seen.entry)
        if seen is None or entry is None:
            return None, Age.EXPIRED
        return entry, entry.age(self._clock(), seen.versions, options)

    def _answered(self, name: EntryName, entry: Entry, options: CacheOptions, outcome: Got) -> Any:
        answer = entry.answer(options)
        self._metrics.gets[name.group, outcome] += 1
        return answer()

    def _refresh(self, name: EntryName, compute: Compute, options: CacheOptions, seen: Seen) -> None:
        """Compute it anew behind the callers' backs, unless that is under way, or has just failed."""
        is_due = not (seen.is_locked or seen.has_failed or name in self._computing)
        if is_due and self._refreshing < REFRESHES_MAX:
            self._refreshing += 1
            self._computing.begin(name, partial(self._compute_anew, name, compute, options))

    async def _compute_anew(self, name: EntryName, compute: Compute, options: CacheOptions) -> Answer:
        try:
            return await self._compute(name, compute, options, None, good=frozenset({Age.FRESH}))
        except Exception:
            self._metrics.refresh_failures[name.group] += 1
            raise
        finally:
            self._refreshing -= 1

    async def _compute(
        self,
        name: EntryName,
        compute: Compute,
        options: CacheOptions,
        spare: Entry | None,
        *,
        good: Collection[Age] = IN_TIME,
    ) -> Answer:
        """Return what this process computes, or another one does meanwhile; if it fails, what is spare."""
        holder = secrets.token_hex(8)
        try:
            found = await self._lock(name, holder, options, good, has_spare=spare is not None)
        except StoreAway:
            self._metrics.away += 1
            found = None
        if isinstance(found, Entry):
            return Answer(found, Got.SHARED)
        try:
            if found is None:
                return await self._kept(name, compute, options, (), None)
            if found.has_failed and spare is not None:
                return Answer(spare, Got.STALE_IF_ERROR)
            async with self._locked(name, holder) as lock:
                return await self._kept(name, compute, options, found.versions, lock)
        except Exception as error:
            if spare is None or isinstance(error, options.errors):
                raise
            return Answer(spare, Got.STALE_IF_ERROR)

    async def _lock(
        self, name: EntryName, holder: str, options: CacheOptions, good: Collection[Age], *, has_spare: bool
    ) -> Seen | Entry:
        """Return what is known of an entry once this process is to compute it; or what another one has computed.

        Raises:
            StoreAway: Each process is on its own.
        """
        pause_s, may_try, gone_at_ms = POLL_S, True, None
        while True:
            is_held = may_try and await self._store.lock(name, holder, LEASE_MS)
            seen = await self._store.read(name, options.tags)
            entry, age = self._judged(seen, options)
            found = entry if entry is not None and age in good and entry.is_readable(options) else None
            is_vain = seen.has_failed and has_spare
            if is_held and (found is not None or is_vain):
                await self._store.unlock(name, holder, failed_for_ms=0)
            if found is not None or is_held or is_vain:
                return found or seen
            if seen.is_locked:
                gone_at_ms = None
            elif gone_at_ms is None:
                gone_at_ms = self._clock()
            may_try = seen.has_failed or (gone_at_ms is not None and self._clock() - gone_at_ms >= GRACE_MS)
            await self._sleep(pause_s)
            pause_s = min(2 * pause_s, POLL_S_MAX)

    @asynccontextmanager
    async def _locked(self, name: EntryName, holder: str) -> AsyncIterator[Lock]:
        """Keep a lock while something is computed; if nothing was kept, others need not wait for it."""
        beat = asyncio.create_task(self._beat(name, holder)) if self._store.is_shared else None
        lock = Lock()
        try:
            yield lock
        finally:
            if beat is not None:
                beat.cancel()
            with suppress(StoreAway):
                await self._store.unlock(name, holder, failed_for_ms=0 if lock.has_kept else FAILED_MS)

    async def _beat(self, name: EntryName, holder: str) -> None:
        while True:
            await self._sleep(BEAT_S)
            with suppress(StoreAway):
                await self._store.extend(name, holder, LEASE_MS)

    async def _kept(
        self,
        name: EntryName,
        compute: Compute,
        options: CacheOptions,
        versions: tuple[str, ...],
        lock: Lock | None,
    ) -> Answer:
        """Compute an answer and keep it; without a lock it is not kept."""
        now_s = asyncio.get_running_loop().time
        since_s = now_s()
        try:
            value = await compute()
        except options.errors as error:
            entry = of_error(error, options, self._clock(), versions)
            if entry is None:
                self._complain(name, "no_json", f"{type(error).__name__} has other arguments")
                raise
        else:
            try:
                entry = of_value(value, options, self._clock(), versions)
            except TypeError as error:
                self._complain(name, "no_json", str(error))
                return Answer(None, Got.MISS, value)
        if lock is not None and now_s() - since_s >= options.slower_than_s:
            lock.has_kept = await self._keep(name, entry, options)
        return Answer(entry, Got.MISS)

    async def _keep(self, name: EntryName, entry: Entry, options: CacheOptions) -> bool:
        """Tell whether an entry could be kept."""
        text = packed(entry)
        if len(text) > ENTRY_BYTES_MAX:
            self._complain(name, "too_large", f"{len(text):,} bytes")
            return False
        stale_ms = 0 if entry.is_negative else max(options.stale_ms, options.stale_if_error_ms)
        try:
            await self._store.keep(name, text, entry.fresh_ms + stale_ms)
        except StoreAway:
            return False
        return True

    def _complain(self, name: EntryName, reason: str, detail: str = "") -> None:
        """Count an answer that cannot be kept, and say so once for each group."""
        self._metrics.not_kept[name.group, reason] += 1
        if name.group not in self._complained:
            self._complained.add(name.group)
            log.warning("answer_not_kept", cache=name.group, reason=reason, detail=detail)


def _got(entry: Entry, age: Age) -> Got:
    if entry.is_negative:
        return Got.NEGATIVE
    return {Age.FRESH: Got.HIT, Age.EARLY: Got.EARLY, Age.STALE: Got.STALE}[age]
