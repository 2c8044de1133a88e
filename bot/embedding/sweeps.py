"""``tempogram.sweep``: goes through everything before a deadline, by the engine that runs in this program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tempogram.bot.embedding import current
from tempogram.bot.embedding.current import RunningEngine
from tempogram.engine.bulk.journal import Mark
from tempogram.engine.scheduler import sweep as engine_sweep
from tempogram.engine.scheduler.sweep import CHUNK, PAUSE_S, SweepRow, Swept


async def sweep(
    name: str,
    items: Sequence[str],
    check: Callable[[Sequence[str]], Awaitable[object]],
    *,
    chunk: int = CHUNK,
    pause_s: float = PAUSE_S,
    deadline_s: float | None = None,
) -> Swept:
    """Go through all items, and return when each was checked; after a kill, go on with the chunk in which it was.

    A chunk counts as gone through once ``check`` has returned, so one chunk may be checked twice. A sweep that has
    ended does nothing again under its name. It may be awaited in any event loop, in which ``check`` runs then.

    Args:
        name: Of this sweep and no other: ``freeze-7``.
        items: What to go through, each once; the same order each time.
        check: Is given a chunk at a time.
        chunk: How many at once.
        pause_s: Between two chunks.
        deadline_s: From now on.

    Returns:
        How many it went through, how many of them before this call, and in how many seconds.

    Raises:
        SweepOverdue: The deadline has come; what was gone through stays so.
        SettingsError: The chunk or the pause makes no sense.
        LedgerError: The database cannot be reached. Call it again to go on.
        RuntimeError: No engine runs.
    """
    engine = current.engine()
    return await engine_sweep.sweep(
        name,
        items,
        check,
        store=InEnginesLoop(engine),
        clock=engine.dependencies.clock,
        chunk=chunk,
        pause_s=pause_s,
        deadline_s=deadline_s,
    )


class InEnginesLoop:
    """See ``SweepStore`` and ``BulkStore``; used from any loop."""

    def __init__(self, engine: RunningEngine) -> None:
        self._run = engine.gateway.loop.run
        self._sweeps = engine.sweeps

    async def sweep(self, name: str) -> SweepRow | None:
        return await self._run(self._sweeps.sweep(name))

    async def note(self, row: SweepRow) -> None:
        await self._run(self._sweeps.note(row))

    async def take(self, name: str, run: str, now_ms: int) -> SweepRow:
        return await self._run(self._sweeps.take(name, run, now_ms))

    async def note_bulk(self, row: SweepRow, marks: Sequence[Mark]) -> bool:
        return await self._run(self._sweeps.note_bulk(row, marks))

    async def marks(self, name: str, *, since: int, limit: int) -> Sequence[Mark]:
        return await self._run(self._sweeps.marks(name, since=since, limit=limit))
