"""Reports which loops of this process run, once a minute, so that ``/health/cron`` of every process has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from tempogram.bot.runtime.loops import Loops
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.ids import number_of
from tempogram.engine.ports import Membership
from tempogram.engine.ports.beat_store import BeatStore, LoopBeat

log = structlog.get_logger()

EVERY_S = 60.0

FIRST_S = 1.0
"""Until the loops of a start run."""

SILENT_S = 120.0
"""A periodic loop that has not gone on for so long hangs."""

PERIODIC = frozenset({"alerts", "conditions", "memory_trim", "reconciler", "recoverer", "sightings"})
"""These go on at least once a minute, if their periods are not set longer. All others may wait for something that does
not come, and run if they have not ended."""


class LoopBeats:
    """See the module.

    Args:
        process: The number of this process.
        role: As its command is called.
        periods_s: Periods of loops that may be set longer than a minute, by name. They hang after twice as long.
    """

    def __init__(
        self,
        loops: Loops,
        store: BeatStore,
        members: Membership,
        *,
        process: int,
        role: str,
        clock: Clock,
        periods_s: Mapping[str, float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._loops = loops
        self._store = store
        self._members = members
        self._process = number_of(process)
        self._role = role
        self._clock = clock
        self._periods_s = periods_s or {}
        self._sleep = sleep

    async def run(self) -> None:
        """Report until cancelled. No other loop waits for it, and an outage of the database ends none."""
        await self._sleep(FIRST_S)
        while True:
            try:
                await self._report(self._beats())
            except LedgerError as error:
                log.debug("loops_not_reported", reason=str(error))
            await self._sleep(EVERY_S)

    async def end(self) -> None:
        """Delete what was reported: the process ends. Raises ``LedgerError``."""
        await self._report([])

    async def _report(self, beats: list[LoopBeat]) -> None:
        alive = {number_of(process) for process in await self._members.alive()}
        await self._store.report(self._process, beats, alive=alive | {self._process})

    def _beats(self) -> list[LoopBeat]:
        now_ms, ended = self._clock(), self._loops.ended
        return [
            LoopBeat(
                process=self._process,
                loop=name,
                role=self._role,
                at_ms=now_ms - (round(silent_s * 1_000) if name in ended or self._hangs(name, silent_s) else 0),
                every_ms=round(EVERY_S * 1_000),
            )
            for name, silent_s in sorted(self._loops.silent_s().items())
        ]

    def _hangs(self, name: str, silent_s: float) -> bool:
        return name in PERIODIC and silent_s > max(SILENT_S, 2 * self._periods_s.get(name, 0.0))
