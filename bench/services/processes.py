"""Starts the strict service of the simulator, and clients, as processes of their own, and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpx

START_S = 20.0
NICE = -10


def go_first() -> None:
    """Let this process and those that it starts go before other work of the machine; refused to all but root.

    What is measured is what limits allow, not how long a busy machine takes to wake a process.
    """
    with contextlib.suppress(OSError):
        os.nice(NICE)


@dataclass(frozen=True, slots=True)
class StrictServer:
    """A running one."""

    url: str

    async def begin(self, rules: Mapping[str, Any]) -> None:
        """Count anew, by other rules."""
        async with httpx.AsyncClient(timeout=START_S) as client:
            (await client.post(f"{self.url}/-/rules", json=rules)).raise_for_status()

    async def report(self) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=START_S) as client:
            report: dict[str, Any] = (await client.get(f"{self.url}/-/report")).raise_for_status().json()
            return report


@asynccontextmanager
async def strict_server() -> AsyncIterator[StrictServer]:
    async with running("tempogram.simulator.services.process") as process:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            url = json.loads(await process.stdout.readline())["url"]
        yield StrictServer(url)


@asynccontextmanager
async def running(module: str, *words: str, python: str = sys.executable) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module, or a file, until the block ends, and then kill it: nothing is given back in good order."""
    program = (module,) if module.endswith(".py") else ("-m", module)
    process = await asyncio.create_subprocess_exec(
        python, *program, *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Clients:
    """Processes of ``strict_client`` with the same order."""

    def __init__(self, count: int, order: Mapping[str, Any]) -> None:
        self._count = count
        self._order = order
        self._running: list[asyncio.subprocess.Process] = []
        self._started = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        for _ in range(self._count):
            self._started += 1
            order = json.dumps({**self._order, "process": f"p{self._started}"})
            words: Sequence[str] = ("-m", "bench.services.strict_client", order)
            self._running.append(await asyncio.create_subprocess_exec(sys.executable, *words))

    async def kill(self) -> None:
        for process in self._running:
            if process.returncode is None:
                process.kill()
            await process.wait()
        self._running.clear()
