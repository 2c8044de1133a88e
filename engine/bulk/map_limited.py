"""A function over many items, so many at once: collects failures, and goes on after a kill where it has a name."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Sequence, Sized
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from tempogram.engine.bulk.batches import Batches
from tempogram.engine.bulk.journal import Durable, Journal, Mark, TakenOver
from tempogram.engine.bulk.results import (
    BulkCounts,
    BulkError,
    BulkItem,
    BulkReport,
    FailedBefore,
    ItemUncertain,
    TooManyFailures,
)
from tempogram.engine.bulk.source import Items, Source
from tempogram.engine.model.errors import EngineError, SettingsError

log = structlog.get_logger()

T = TypeVar("T")
R = TypeVar("R")

CONCURRENCY, CONCURRENCY_MAX = 5, 10_000
NAME_LENGTH_MAX = 200
SKIPPED_AT_ONCE = 1_000
"""Items that were done before and are read without letting others run."""

NOT_NOTED = "how far the bulk is could not be noted: {}"

Progress = Callable[[BulkCounts], object]


@dataclass(frozen=True, kw_only=True)
class BulkOptions(Generic[T]):
    """How items are gone through.

    Attributes:
        concurrency: Items under way at once, and how far the source is read ahead of what was taken.
        failures_max: Failures of this call; beyond it nothing new begins. None: no limit.
        progress: Gets the counts after each item, and once at the end.
        key: What must be the same of an item when a named bulk is called again; None: of texts and whole numbers
            and lists of them themselves, of others only their position.
        durable: None: a kill forgets it.
    """

    concurrency: int = CONCURRENCY
    failures_max: int | None = None
    progress: Progress | None = None
    key: Callable[[T], str | int] | None = None
    durable: Durable | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= CONCURRENCY_MAX:
            raise SettingsError(f"concurrency is {self.concurrency}; it must be 1 to {CONCURRENCY_MAX}")
        if self.failures_max is not None and self.failures_max < 0:
            raise SettingsError(f"failures_max is {self.failures_max}; it must be 0 or more, or None for no limit")
        if self.durable is not None and not 1 <= len(self.durable.name) <= NAME_LENGTH_MAX:
            raise SettingsError(f"the name of a bulk must have 1 to {NAME_LENGTH_MAX} characters")


class Bulk(Generic[T, R]):
    """A function over items, not yet begun: ``await`` it for a report, or take each item that ends by ``async for``.

    It begins then, and may be used once.
    """

    def __init__(self, function: Callable[[T], Awaitable[R]], items: Items[T], options: BulkOptions[T]) -> None:
        self._run: _Run[T, R] | None = _Run(function, items, options)

    def __await__(self) -> Generator[Any, None, BulkReport[T, R]]:
        return self._begin().report().__await__()

    def __aiter__(self) -> AsyncIterator[BulkItem[T, R]]:
        return self._begin().each()

    def _begin(self) -> _Run[T, R]:
        run, self._run = self._run, None
        if run is None:
            raise RuntimeError("a map_limited was used already; make another one")
        return run


class _NotBegunError(Exception):
    """An item that must be noted before it begins could not be."""


@dataclass(slots=True)
class _Tally:
    """What was counted up to now; ``passed`` items were read or are known to have been."""

    passed: int = 0
    done: int = 0
    failed: int = 0
    uncertain: int = 0
    before: int = 0


class _Run(Generic[T, R]):
    """One time through the items: a feeder reads and begins them, and the caller takes what has ended.

    A place is held from before an item is read until it is taken, so neither more is under way nor read ahead than
    there are places.
    """

    def __init__(self, function: Callable[[T], Awaitable[R]], items: Items[T], options: BulkOptions[T]) -> None:
        self._function = function
        self._options = options
        self._source = Source(items)
        self._batches = items if isinstance(items, Batches) else None
        self._total = _total(items)
        self._places = asyncio.Semaphore(options.concurrency)
        self._ended: asyncio.Queue[BulkItem[T, R] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[R]] = set()
        self._feeder: asyncio.Task[None] | None = None
        self._journal: Journal | None = None
        self._items_crc = 0
        self._tally = _Tally()
        self._failures_now = 0
        self._keeps_failures = options.failures_max is not None
        self._failures: list[BulkItem[T, R]] = []
        self._uncertain: list[BulkItem[T, R]] = []
        self._error: BaseException | None = None
        self._source_error: Exception | None = None
        self._is_closing = False

    async def report(self) -> BulkReport[T, R]:
        """Go through all of it. Raises as ``each``."""
        self._keeps_failures = True
        results: list[R | None] = []
        try:
            async with aclosing(self.each()) as ended:
                async for each in ended:
                    _pad(results, each.index + 1)
                    results[each.index] = each.result
        except BulkError as error:
            _pad(results, self._tally.passed)
            error.report = self._report(results)
            raise
        _pad(results, self._tally.passed)
        return self._report(results)

    async def each(self) -> AsyncGenerator[BulkItem[T, R], None]:
        """Yield each item as it ends.

        Raises:
            TooManyFailures: Beyond ``failures_max``.
            BulkError: The items could not be read to their end, or not be noted; caused by the error of then.
            SettingsError: A named one cannot go on with these items.
            LedgerError: The database cannot be reached; nothing was begun.
        """
        self._feeder = asyncio.create_task(self._feed())
        self._feeder.add_done_callback(self._on_fed)
        try:
            while (ended := await self._ended.get()) is not None:
                self._count(ended)
                self._tell_progress()
                self._places.release()
                yield ended
            await self._conclude()
        finally:
            await self._close(self._feeder)
            self._tell_progress(is_over=True)

    async def _feed(self) -> None:
        if self._options.durable is not None and not await self._go_on(self._options.durable):
            return
        while True:
            await self._places.acquire()
            if self._journal is not None:
                await self._journal.has_room()
            try:
                item = await self._read()
            except StopAsyncIteration:
                return
            except Exception as error:  # noqa: BLE001 - the source's own, which is raised when all has ended
                self._source_error = error
                return
            self._begin(self._tally.passed - 1, item)

    async def _read(self) -> T:
        item = await anext(self._source)
        if self._options.durable is not None:
            self._items_crc = zlib.crc32(_key(item, self._options.key), self._items_crc)
        self._tally.passed += 1
        return item

    async def _go_on(self, durable: Durable) -> bool:
        """Skip what was done in calls before, and begin again what was under way; false: all was done."""
        journal = self._journal = await Journal.open(durable, on_broken=self._stop)
        await journal.mark_open()
        if journal.has_ended and not await journal.has_marks():
            self._tally.passed = self._tally.before = journal.done_before
            return False
        again = await self._skip(journal)
        if journal.has_ended:
            return False
        journal.check(self._items_crc)
        for index, item in again:
            await self._places.acquire()
            self._begin(index, item, was_under_way=True)
        return True

    async def _skip(self, journal: Journal) -> list[tuple[int, T]]:
        """Read what has begun before, and return what of it is to be done again."""
        again = []
        self._pause_between_batches(pauses=False)
        for index in range(journal.begun_before):
            try:
                item = await self._read()
            except StopAsyncIteration:
                break  # there are fewer items; the checksum tells
            mark = await journal.mark_of(index)
            if mark is not None and (mark.is_given_up or mark.error):
                await self._places.acquire()
                self._ended.put_nowait(_marked(mark, item))
            elif index in journal.open_before:
                again.append((index, item))
            else:
                self._tally.before += 1
                if mark is not None:
                    self._uncertain.append(BulkItem(index, item, was_under_way=True))
            if index % SKIPPED_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._pause_between_batches(pauses=True)
        return again

    def _pause_between_batches(self, *, pauses: bool) -> None:
        if self._batches is not None:
            self._batches.pauses = pauses

    def _begin(self, index: int, item: T, *, was_under_way: bool = False) -> None:
        if self._journal is not None:
            self._journal.begin(index, self._items_crc)
        task = asyncio.create_task(self._call(item))
        self._tasks.add(task)
        task.add_done_callback(partial(self._on_end, BulkItem(index, item, was_under_way=was_under_way)))

    async def _call(self, item: T) -> R:
        if self._journal is not None:
            try:
                await self._journal.begun()
            except Exception as error:
                raise _NotBegunError from error
        return await self._function(item)

    def _on_end(self, begun: BulkItem[T, R], task: asyncio.Task[R]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is None:
            self._end(replace(begun, result=task.result()))
        elif not task.cancelled() or not self._is_closing:  # else it stays under way: how far it was is not known
            self._fail(replace(begun, error=asyncio.CancelledError() if task.cancelled() else task.exception()))
        self._check_over()

    def _fail(self, failed: BulkItem[T, R]) -> None:
        if isinstance(failed.error, _NotBegunError):
            return
        if not isinstance(failed.error, (Exception, asyncio.CancelledError)):  # the program is being ended
            self._error = failed.error
            self._stop()
            return
        self._failures_now += 1
        if self._has_too_many_failures:
            self._stop()
        self._end(failed)

    def _end(self, ended: BulkItem[T, R]) -> None:
        if self._journal is not None:
            self._journal.end(ended.index, ended.error)
        self._ended.put_nowait(ended)

    def _stop(self) -> None:
        """Begin nothing new."""
        if self._feeder is not None:
            self._feeder.cancel()

    def _on_fed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._error = task.exception()
        self._check_over()

    def _check_over(self) -> None:
        if not self._tasks and self._feeder is not None and self._feeder.done():
            self._ended.put_nowait(None)

    @property
    def _has_too_many_failures(self) -> bool:
        return self._options.failures_max is not None and self._failures_now > self._options.failures_max

    def _count(self, ended: BulkItem[T, R]) -> None:
        if ended.is_uncertain:
            self._tally.uncertain += 1
        elif ended.error is not None:
            self._tally.failed += 1
            if self._keeps_failures:
                self._failures.append(ended)
        else:
            self._tally.done += 1
        if ended.was_under_way:
            self._uncertain.append(ended)

    async def _conclude(self) -> None:
        """Raise what ended it before its end; else note and say that it has ended."""
        if self._journal is not None and self._journal.broken is not None:
            raise self._not_noted(self._journal.broken) from self._journal.broken
        if self._error is not None:
            raise self._error
        if self._source_error is not None:
            sentence = f"the items could not be read to their end: {self._source_error!r}"
            raise BulkError(sentence, self._report()) from self._source_error
        if self._has_too_many_failures:
            sentence = f"{self._failures_now} items failed, and failures_max is {self._options.failures_max}"
            raise TooManyFailures(sentence, self._report())
        if self._journal is not None:
            await self._finish(self._journal)
        self._log_end()

    async def _finish(self, journal: Journal) -> None:
        try:
            await journal.finish()
        except EngineError as error:
            raise self._not_noted(error) from error

    def _not_noted(self, error: Exception) -> BulkError:
        sentence = str(error) if isinstance(error, TakenOver) else NOT_NOTED.format(error)
        return BulkError(sentence, self._report())

    def _log_end(self) -> None:
        name = self._options.durable.name if self._options.durable is not None else ""
        if name or self._tally.failed:
            counts = self._counts()
            log.info("bulk_ended", bulk=name, done=counts.done + counts.before, failed=counts.failed)

    async def _close(self, feeder: asyncio.Task[None]) -> None:
        """Cancel what is under way, and close the source. Nothing of it runs afterwards."""
        self._is_closing = True
        for task in (feeder, *self._tasks):
            task.cancel()
        try:
            await asyncio.wait({feeder, *self._tasks})
        finally:
            try:
                await self._source.aclose()
            finally:
                if self._journal is not None:
                    await self._journal.close()

    def _counts(self, *, is_over: bool = False) -> BulkCounts:
        tally = self._tally
        return BulkCounts(
            total=self._total,
            under_way=len(self._tasks),
            done=tally.done,
            failed=tally.failed,
            uncertain=tally.uncertain,
            before=tally.before,
            is_over=is_over,
        )

    def _tell_progress(self, *, is_over: bool = False) -> None:
        if self._options.progress is not None:
            self._options.progress(self._counts(is_over=is_over))

    def _report(self, results: Sequence[R | None] = ()) -> BulkReport[T, R]:
        return BulkReport(
            results=results,
            failures=sorted(self._failures, key=_index),
            uncertain=sorted(self._uncertain, key=_index),
            counts=self._counts(is_over=True),
        )


def _total(items: Items[Any]) -> int | None:
    if isinstance(items, Batches):
        return items.total
    return len(items) if isinstance(items, Sized) else None


def _key(item: T, key: Callable[[T], str | int] | None) -> bytes:
    """Return what must be the same of an item in a later call; empty: nothing of it is known to be.

    >>> _key(["+1", 7], None), _key({"phone": "+1"}, None), _key({"phone": "+1"}, lambda each: each["phone"])
    (b"['+1', 7];", b';', b"'+1';")
    """
    known: object = item if key is None else key(item)
    parts = known if isinstance(known, (list, tuple)) else (known,)
    is_known = all(isinstance(part, (str, int, bytes)) for part in parts)
    return f"{known!r};".encode() if is_known else b";"


def _marked(mark: Mark, item: T) -> BulkItem[T, Any]:
    error = ItemUncertain() if mark.is_given_up else FailedBefore(mark.error)
    return BulkItem(mark.index, item, error=error, was_under_way=mark.was_under_way)


def _pad(results: list[R | None], length: int) -> None:
    results.extend([None] * (length - len(results)))


def _index(item: BulkItem[Any, Any]) -> int:
    return item.index
