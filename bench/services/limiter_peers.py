"""Other limiters and ours, each in a process of its own, and what each saw of a plan."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.environments import CLIENTS, npm_folder, virtual_environment

WITHIN_S = 90
SCRIPT = str(CLIENTS / "limiters.py")
REQUIREMENTS = CLIENTS / "limiters-requirements.txt"
BOTTLENECK = CLIENTS / "bottleneck"


@dataclass(frozen=True, slots=True)
class Peer:
    """One library, and how to start it.

    Attributes:
        is_shared: It can keep its limits in Redis.
    """

    title: str
    command: Sequence[str]
    is_shared: bool = True

    @property
    def is_ours(self) -> bool:
        return self.title == "Tempogram"

    async def see(self, plan: dict[str, Any], *, processes: int = 1) -> list[dict[str, Any]]:
        """Have so many processes execute a plan at the same time; return what each of them saw."""
        async with AsyncExitStack() as stack:
            started = [await stack.enter_async_context(self._process()) for _ in range(processes)]
            async with asyncio.timeout(WITHIN_S):
                await asyncio.gather(*(_say(process, json.dumps(plan)) for process in started))
                for process in started:
                    assert process.stdin is not None
                    process.stdin.write(b"go\n")
                return [json.loads(await _line(process)) for process in started]

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self.command, stdin=pipe, stdout=pipe)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def peers(python: str | None = None, folder: str | None = None) -> AsyncIterator[list[Peer]]:
    """Give all of them, installed for this run unless places are given where they are; what cannot be is left out.

    Args:
        python: Of an environment with ``limiters-requirements.txt``.
        folder: With Bottleneck and its script.
    """
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        found = [Peer("Tempogram", (sys.executable, SCRIPT, "ours"))]
        try:
            python = python or str(await virtual_environment(root / "venv", "--requirement", str(REQUIREMENTS)))
            found += [
                Peer(f"limits {pinned('limits')}, moving window", (python, SCRIPT, "limits")),
                Peer(f"pyrate-limiter {pinned('pyrate-limiter')}", (python, SCRIPT, "pyrate")),
                Peer(f"throttled-py {pinned('throttled-py')}, sliding window", (python, SCRIPT, "throttled")),
                Peer(f"aiolimiter {pinned('aiolimiter')}", (python, SCRIPT, "aiolimiter"), is_shared=False),
            ]
        except RuntimeError as error:
            print(f"  the limiters for Python are left out: {error}")
        try:
            node = "node" if folder else str(await npm_folder(root / "npm", BOTTLENECK))
            version = json.loads((BOTTLENECK / "package.json").read_text())["dependencies"]["bottleneck"]
            script = str(Path(folder or root / "npm") / "peer.mjs")
            found.append(Peer(f"Bottleneck {version}", (node, script)))
        except RuntimeError as error:
            print(f"  Bottleneck is left out: {error}")
        yield found


def pinned(package: str) -> str:
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


async def _say(process: asyncio.subprocess.Process, plan: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{plan}\n".encode())
    said = await _line(process)
    if said != "ready":
        raise RuntimeError(f"the process ended, or said {said!r}")


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()
