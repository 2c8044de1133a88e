"""A sweep: goes through everything before a deadline, in chunks, and goes on where it was after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError, SettingsError

log = structlog.get_logger()

CHUNK = 50
PAUSE_S = 1.0
"""So many at once, and so long between: gentle to a service whose budget others share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """How far a sweep is, or a named bulk (``engine.bulk``).

    Attributes:
        done: Items that were gone through; of a bulk, that have ended.
        last: The last of them; empty: none was, or it is a bulk.
        began_ms: When it began, before any kill.
        ended_ms: 0: it has not ended.
        under_way: Positions of items of a bulk that have begun and not ended.
        items_crc: A checksum of all items of a bulk that have begun.
        run: Of a bulk: which call goes through it, and no other notes anything. Empty: it is a sweep.
    """

    name: str
    done: int = 0
    last: str = ""
    began_ms: int = 0
    ended_ms: int = 0
    under_way: tuple[int, ...] = ()
    items_crc: int = 0
    run: str = ""


class SweepStore(Protocol):
    """How far each sweep is. Each method raises ``LedgerError`` if the database refuses."""

    async def sweep(self, name: str) -> SweepRow | None:
        """Return how far a sweep is; None: it has not begun."""

    async def note(self, row: SweepRow) -> None:
        """Store how far a sweep is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep has done.

    Attributes:
        total: Items that it went through, before a kill, too.
        resumed_at: How many had been gone through when this call began.
        seconds: From its first beginning to its end.
    """

    total: int
    resumed_at: int
    seconds: float


class SweepOverdue(EngineError):
    """A sweep is not at its end at its deadline. What was gone through stays so: call it again to go on."""

    def __init__(self, name: str, done: int, total: int) -> None:
        super().__init__(f"sweep {name} had gone through {done} of {total} at its deadline; call it again to go on")
        self.done = done
        self.total = total


async def sweep(
    name: str,
    items: Sequence[str],
    check: Callable[[Sequence[str]], Awaitable[object]],
    *,
    store: SweepStore,
    clock: Clock,
    chunk: int = CHUNK,
    pause_s: float = PAUSE_S,
    deadline_s: float | None = None,
) -> Swept:
    """Go through all items, and return when each was checked.

    A chunk counts as gone through once ``check`` has returned; after a kill one chunk may be checked again. A sweep
    that has ended is not begun again under its name, for as long as its row is kept.

    Args:
        name: Of this sweep, as in ``freeze-round-7``.
        items: In an order that stays the same when it is called again; new ones come last.
        check: Gets up to ``chunk`` of them; what it raises ends the call.
        store: Where it is noted how far it is.
        clock: Milliseconds since the epoch.
        chunk: How many at once.
        pause_s: Between two chunks.
        deadline_s: From now on.

    Raises:
        SweepOverdue: The deadline has come.
        SettingsError: The items, the chunk or the pause make no sense.
    """
    if chunk < 1 or pause_s < 0:
        raise SettingsError(
            f"chunk is {chunk} and pause_s {pause_s:g}; the one must be above 0, the other not below it"
        )
    if isinstance(items, str) or not all(isinstance(item, str) for item in items):
        raise SettingsError(f"what sweep {name} goes through must be a list of texts: [str(id) for id in ids]")
    row = await store.sweep(name) or SweepRow(name=name, began_ms=clock())
    if row.run:
        raise SettingsError(f"{name} is the name of a bulk; give the sweep another one")
    resumed_at = start = _start(row, items)
    ends_at_ms = None if deadline_s is None else clock() + round(deadline_s * 1_000)
    while start < len(items):
        if start > resumed_at and pause_s:
            await asyncio.sleep(pause_s)
        if ends_at_ms is not None and clock() >= ends_at_ms:
            raise SweepOverdue(name, start, len(items))
        piece = items[start : start + chunk]
        await check(piece)
        start += len(piece)
        row = SweepRow(name=name, done=start, last=piece[-1], began_ms=row.began_ms)
        await store.note(row)
        log.info("sweep_progress", sweep=name, done=start, of=len(items), percent=100 * start // len(items))
    if not row.ended_ms:
        row = SweepRow(name=name, done=start, last=row.last, began_ms=row.began_ms, ended_ms=clock())
        await store.note(row)
    return Swept(total=start, resumed_at=resumed_at, seconds=(row.ended_ms - row.began_ms) / 1_000)


def _start(row: SweepRow, items: Sequence[str]) -> int:
    """Return where a sweep goes on: behind its last item, wherever that stands now."""
    if row.ended_ms:
        return len(items)
    if row.done and row.done <= len(items) and items[row.done - 1] == row.last:
        return row.done
    return items.index(row.last) + 1 if row.last in items else 0
