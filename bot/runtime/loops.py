"""The background tasks of the program, and whether all of them still run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Loops:
    """Background tasks that run as long as the program does; ``/health`` reports them."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *loops: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(loop) for loop in loops]
        self._tasks += tasks
        return tasks

    @property
    def alive(self) -> bool:
        return not any(task.done() for task in self._tasks)
