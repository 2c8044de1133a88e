"""The beats of loops in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.beat_store import LoopBeat


class MemoryBeats:
    """See ``BeatStore``. ``is_away``: the database refuses."""

    def __init__(self) -> None:
        self.table: dict[str, list[LoopBeat]] = {}
        self.is_away = False
        self.reports = 0

    async def report(self, process: str, beats: Sequence[LoopBeat], *, alive: Collection[str]) -> None:
        self._ask()
        self.reports += 1
        self.table = {name: of for name, of in self.table.items() if name in alive} | {process: list(beats)}

    async def beats(self) -> list[LoopBeat]:
        self._ask()
        return sorted((beat for of in self.table.values() for beat in of), key=lambda beat: (beat.loop, beat.process))

    def _ask(self) -> None:
        if self.is_away:
            raise LedgerError("the database is away")
