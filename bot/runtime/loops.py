"""The background tasks of the program, and whether all of them still run."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any


class Loops:
    """Background tasks that run as long as the program does; ``/health`` reports them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._loops: list[_Loop] = []
        self._monotonic = monotonic

    def start(self, *loops: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
        started = [self._start(loop) for loop in loops]
        self._loops += started
        return [loop.task for loop in started]

    @property
    def alive(self) -> bool:
        return not any(loop.task.done() for loop in self._loops)

    def silent_s(self) -> dict[str, float]:
        """Return for how long each loop has not gone on, by name; of a name that several have, the longest."""
        now, silent = self._monotonic(), dict[str, float]()
        for loop in self._loops:
            silent[loop.name] = max(now - loop.steps.last, silent.get(loop.name, 0.0))
        return silent

    @property
    def ended(self) -> frozenset[str]:
        """The names of those that have ended, which none should."""
        return frozenset(loop.name for loop in self._loops if loop.task.done())

    def _start(self, loop: Coroutine[Any, Any, None]) -> _Loop:
        name, steps = name_of(loop), _Steps(loop, self._monotonic)
        task = asyncio.create_task(_run(steps), name=f"loop {name}")
        task.add_done_callback(lambda _: loop.close())  # it may have been cancelled before it began
        return _Loop(name, steps, task)


def name_of(loop: Coroutine[Any, Any, None]) -> str:
    """Return a loop's name: that of the class whose method it is, or of its function.

    >>> class CacheInvalidation:
    ...     async def run(self) -> None: ...
    >>> run = CacheInvalidation().run()
    >>> name_of(run), run.close()
    ('cache_invalidation', None)
    """
    qualified: str = getattr(loop, "__qualname__", "loop")
    owner, _, name = qualified.rpartition("<locals>.")[2].rpartition(".")
    chosen = owner.rpartition(".")[2] or name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", chosen).lower().strip("_")


@dataclass(frozen=True, slots=True)
class _Loop:
    name: str
    steps: _Steps
    task: asyncio.Task[None]


class _Steps:
    """Awaits a coroutine, and notes when it last went on."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], monotonic: Callable[[], float]) -> None:
        self.last = monotonic()
        self._coroutine = coroutine
        self._monotonic = monotonic

    def __await__(self) -> Generator[Any, Any, None]:
        go_on: Callable[[Any], Any] = self._coroutine.send
        given: Any = None
        while True:
            self.last = self._monotonic()
            try:
                awaited = go_on(given)
            except StopIteration:
                return
            try:
                given, go_on = (yield awaited), self._coroutine.send
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
                given, go_on = error, self._coroutine.throw


async def _run(steps: _Steps) -> None:
    await steps
