"""Starts the processes that call a service, hears what becomes of their calls, and does them harm."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.services.caller import SAYS, Work

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one call: its status, or the name of what was raised; and how often it was tried."""

    at_s: float
    caller: int
    operation: str
    outcome: str
    tries: int


@dataclass
class Caller:
    """One process.

    Attributes:
        breaker: When it changed to which state.
    """

    number: int
    work: Work
    environment: Mapping[str, str] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    breaker: list[tuple[float, str]] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _hearing: asyncio.Task[None] | None = None
    _is_ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, folder: Path) -> None:
        """Start it, and wait until it calls."""
        file = folder / f"{self.work.name}.json"
        file.write_text(json.dumps(asdict(self.work)), encoding="utf-8")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.services.caller", str(file)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )
        self._is_ready.clear()
        self._hearing = asyncio.create_task(self._hear(self._process))
        await asyncio.wait_for(self._is_ready.wait(), READY_S)

    def signal(self, number: signal.Signals) -> None:
        """Stop, continue or kill it."""
        assert self._process is not None
        self._process.send_signal(number)

    async def close(self) -> None:
        if self._process is None or self._hearing is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._hearing

    def state_at(self, at_s: float) -> str:
        """Return the state of its breaker at a time."""
        return next((state for since_s, state in reversed(self.breaker) if since_s <= at_s), "closed")

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.startswith(SAYS):  # else it is the program's log
                self._note(*json.loads(line.removeprefix(SAYS)))

    def _note(self, at_s: float, kind: str, *words: Any) -> None:
        match kind, words:
            case "call", (operation, outcome, tries):
                self.ended.append(Ended(at_s, self.number, operation, outcome, tries))
            case "breaker", (_, state):
                self.breaker.append((at_s, state))
            case "ready", _:
                self._is_ready.set()


@dataclass
class Callers:
    """All of them."""

    each: Sequence[Caller]
    folder: Path

    def __iter__(self) -> Iterator[Caller]:
        return iter(self.each)

    def __getitem__(self, number: int) -> Caller:
        return self.each[number]

    def between(self, from_s: float, to_s: float, *outcomes: str) -> list[Ended]:
        """Return the calls that ended in a time, with one of these outcomes or with any."""
        return [
            ended
            for caller in self.each
            for ended in caller.ended
            if from_s <= ended.at_s < to_s and (not outcomes or ended.outcome in outcomes)
        ]

    async def all_well(self, within_s: float = READY_S) -> None:
        """Wait until a call of each is answered well: its limits have waited for their windows."""
        async with asyncio.timeout(within_s):
            while not all(any(one.outcome == "200" for one in caller.ended) for caller in self.each):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@asynccontextmanager
async def callers(works: Sequence[Work], environment: Mapping[str, str] | None = None) -> AsyncIterator[Callers]:
    """Run them until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        started = Callers([Caller(at, work, environment or {}) for at, work in enumerate(works)], Path(folder))
        try:
            await asyncio.gather(*(each.start(started.folder) for each in started))
            yield started
        finally:
            await asyncio.gather(*(each.close() for each in started))
