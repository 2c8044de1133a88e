"""``tempogram.sweep``: goes through everything before a deadline, by the engine that runs in this program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.embedding import current
from tempogram.engine.scheduler import sweep as sweeps
from tempogram.engine.scheduler.sweep import CHUNK, PAUSE_S, SweepRow, SweepStore, Swept


async def sweep(
    name: str,
    items: Sequence[str],
    check: Callable[[Sequence[str]], Awaitable[object]],
    *,
    chunk: int = CHUNK,
    pause_s: float = PAUSE_S,
    deadline_s: float | None = None,
) -> Swept:
    """Go through all items in chunks, and return when each was checked; after a kill, call it again to go on.

    A chunk counts as gone through once ``check`` has returned; after a kill one chunk may be checked again. A sweep
    that has ended is not begun again under its name.

    Args:
        name: Of this sweep, as in ``freeze-round-7``.
        items: In an order that stays the same when it is called again; new ones come last.
        check: Gets up to ``chunk`` of them; what it raises ends the call.
        chunk: How many at once.
        pause_s: Between two chunks.
        deadline_s: From now on.

    Raises:
        SweepOverdue: The deadline has come. What was gone through stays so.
        SettingsError: The items, the chunk or the pause make no sense.
        LedgerError: The database cannot be reached.
        RuntimeError: No engine runs.
    """
    engine = current.engine()
    return await sweeps.sweep(
        name,
        items,
        check,
        store=_InEngine(engine.gateway, engine.sweeps),
        clock=engine.clock,
        chunk=chunk,
        pause_s=pause_s,
        deadline_s=deadline_s,
    )


class _InEngine:
    """How far sweeps are, from any event loop."""

    def __init__(self, gateway: Gateway, store: SweepStore) -> None:
        self._loop = gateway.loop
        self._store = store

    async def sweep(self, name: str) -> SweepRow | None:
        return await self._loop.run(self._store.sweep(name))

    async def note(self, row: SweepRow) -> None:
        await self._loop.run(self._store.note(row))
