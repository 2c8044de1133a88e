"""What of a named bulk is done, noted as it goes.

Items are known by their position. With n at once all before the last one begun have ended but at most n, so a row is
enough: how many have ended, and the positions of those under way. What failed is marked one by one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from tempogram.engine.bulk.notes import Notes
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError, SettingsError
from tempogram.engine.model.messages import Guarantee
from tempogram.engine.scheduler.sweep import SweepRow

log = structlog.get_logger()

UNNOTED_MAX = 1_000
"""Items that may have ended without a note; then nothing begins until there is one."""

PAGE = 1_000
ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is to be known of an item besides that it has ended.

    Attributes:
        was_under_way: It was under way at a kill.
        is_given_up: It is not done again, though it is uncertain whether it was done.
        error: With which it failed; empty: it did not.
    """

    index: int
    was_under_way: bool = False
    is_given_up: bool = False
    error: str = ""


class BulkStore(Protocol):
    """Where it is noted how far each bulk is. Each method raises ``LedgerError`` if the database refuses."""

    async def take(self, name: str, run: str, now_ms: int) -> SweepRow:
        """Make a bulk this run's, so that no other notes anything from now on; return how far it is.

        The row of a sweep stays as it is.
        """

    async def note_bulk(self, row: SweepRow, marks: Sequence[Mark]) -> bool:
        """Store how far it is; false: another run has taken it, and nothing was stored."""

    async def marks(self, name: str, *, since: int, limit: int) -> Sequence[Mark]:
        """Return the marks at a position and after it, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """What a named bulk needs to go on after a kill."""

    name: str
    store: BulkStore
    clock: Clock
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE


class TakenOver(EngineError):
    """Another call goes through a bulk of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another call goes on with bulk {name}; this one has ended")


class OtherItems(SettingsError):
    """The items are not those of the call before."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(
            f"the first {count} items of bulk {name} are not those of the call before; "
            "give the same in the same order, or another name"
        )


class Journal:
    """One run of a named bulk. ``open`` makes one.

    Attributes:
        done_before: How many items had ended when this run took it.
        begun_before: How many had begun.
        open_before: Positions of those that had begun, and not ended or not noted it.
        has_ended: Nothing was left to do then.
    """

    def __init__(self, row: SweepRow, durable: Durable, on_broken: Callable[[], object]) -> None:
        self.done_before = row.done
        self.begun_before = row.done + len(row.under_way)
        self.open_before = frozenset(row.under_way)
        self.has_ended = bool(row.ended_ms)
        self._row = row
        self._durable = durable
        self._begun, self._crc = self.begun_before, row.items_crc
        self._under_way = set(row.under_way)
        self._fresh_marks: list[Mark] = []
        self._old_marks = _OldMarks(durable.store, row.name)
        self._unnoted = self._ended_ms = 0
        self._notes = Notes(self._write, on_broken)

    @classmethod
    async def open(cls, durable: Durable, on_broken: Callable[[], object]) -> Journal:
        """Take a bulk from whatever run had it; ``on_broken`` is called if nothing can be noted any more.

        Raises:
            SettingsError: A sweep has this name.
            LedgerError: The database refuses.
        """
        row = await durable.store.take(durable.name, uuid.uuid4().hex, durable.clock())
        if not row.run:
            raise SettingsError(f"{row.name} is the name of a sweep; give the bulk another one")
        if row.done + len(row.under_way) and not row.ended_ms:
            log.info("bulk_resumed", bulk=row.name, done=row.done, under_way=list(row.under_way))
        return cls(row, durable, on_broken)

    async def mark_open(self) -> None:
        """Mark items that were under way; if they may be done at most once, they have ended with it."""
        if not self.open_before:
            return
        if self.is_at_most_once:
            self._under_way.clear()
        self._fresh_marks = [
            Mark(index=index, was_under_way=True, is_given_up=self.is_at_most_once)
            for index in sorted(self.open_before)
        ]
        await self._notes.written()

    @property
    def is_at_most_once(self) -> bool:
        return self._durable.guarantee is Guarantee.AT_MOST_ONCE

    @property
    def broken(self) -> Exception | None:
        """Why nothing can be noted any more."""
        return self._notes.broken

    async def mark_of(self, index: int) -> Mark | None:
        """Return what was marked of an item before this run; asked in the order of the items."""
        return await self._old_marks.of(index)

    async def has_marks(self) -> bool:
        return await self._old_marks.any()

    def check(self, items_crc: int) -> None:
        """Refuse other items than those that had begun. Raises ``OtherItems``."""
        if self._crc != items_crc:
            raise OtherItems(self._row.name, self.begun_before)

    async def has_room(self) -> None:
        """Wait while too much has ended that is not noted."""
        if self._unnoted >= UNNOTED_MAX:
            await self._notes.written()

    def begin(self, index: int, items_crc: int) -> None:
        """Note that an item begins; those before it have begun."""
        if index >= self._begun:
            self._begun, self._crc = index + 1, items_crc
        self._under_way.add(index)
        self._notes.change()

    async def begun(self) -> None:
        """Wait, if an item must be noted before it begins, until it is."""
        if self.is_at_most_once:
            await self._notes.written()

    def end(self, index: int, error: BaseException | None) -> None:
        """Note that an item has ended."""
        self._under_way.discard(index)
        if error is not None:
            was_under_way = index in self.open_before
            self._fresh_marks.append(Mark(index=index, was_under_way=was_under_way, error=repr(error)[:ERROR_LENGTH]))
        self._unnoted += 1
        self._notes.change()

    async def finish(self) -> None:
        """Note that all has ended. Raises ``LedgerError``."""
        if not self.has_ended:
            self._ended_ms = self._durable.clock()
            await self._notes.written()

    async def close(self) -> None:
        """Note what has ended, and end; that the database is away is only logged."""
        was_broken = self.broken is not None
        await self._notes.close()
        if self.broken is not None and not was_broken:
            log.warning("bulk_not_noted", bulk=self._row.name, reason=str(self.broken))

    async def _write(self) -> None:
        under_way, marks = tuple(sorted(self._under_way)), tuple(self._fresh_marks)
        row = replace(
            self._row,
            done=self._begun - len(under_way),
            under_way=under_way,
            items_crc=self._crc,
            ended_ms=self._ended_ms,
        )
        unnoted = self._unnoted
        if not await self._durable.store.note_bulk(row, marks):
            raise TakenOver(row.name)
        del self._fresh_marks[: len(marks)]
        self._unnoted -= unnoted


class _OldMarks:
    """Reads marks a page at a time, as their items come by."""

    def __init__(self, store: BulkStore, name: str) -> None:
        self._store = store
        self._name = name
        self._page: list[Mark] = []
        self._is_last = False

    async def any(self) -> bool:
        await self._read(0)
        return bool(self._page)

    async def of(self, index: int) -> Mark | None:
        await self._read(index)
        if self._page and self._page[0].index == index:
            return self._page.pop(0)
        return None

    async def _read(self, since: int) -> None:
        if not self._page and not self._is_last:
            self._page = list(await self._store.marks(self._name, since=since, limit=PAGE))
            self._is_last = len(self._page) < PAGE
