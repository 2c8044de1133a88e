"""The real program as a process of its own, as a user starts it but for what it imports."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from tempogram.bot.demo.process import free_port
from tests import ROOT
from tests.fork_server import start

START_TIMEOUT_S = 60
"""aiogram alone takes seconds to import on a busy machine."""

ADMIN_TOKEN = "an-admin-token-for-tests"
TOKEN = "42:token-of-the-test-bot"
ECHO = "tempogram.bot.behaviours.echo"


class Program:
    """``tempogram run``, or another role: started, killed and restarted on the same database."""

    kind: str | None = "tempogram"
    """Of the server that forks it; see ``tests.fork_server``."""

    def __init__(self, directory: Path, *, role: str = "run", **environment: str) -> None:
        self.directory = directory
        self.role = role
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = directory / "output"
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})

    def set(self, **environment: str) -> None:
        """Change settings, for the next start."""
        self._environment |= environment

    async def start(self) -> None:
        self._process = await self.spawn()
        await self.until(self._answers, within_s=START_TIMEOUT_S)

    async def spawn(self) -> asyncio.subprocess.Process:
        inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "CI"}}
        environment = inherited | {
            "BOT_TOKENS": TOKEN,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "SECRET_KEY": "a-secret-key-for-tests",
            "DATA_DIR": str(self.directory / "data"),
            "BEHAVIOURS": ECHO,
            "PORT": str(self.port),
            "METRICS_PORT": str(self.port),  # of a role without an API
            "PYTHONPATH": str(ROOT),
        }
        with self.output.open("ab") as output:
            return await start(
                self.kind,
                *self.module,
                env=environment | self._environment,
                cwd=self.directory,  # where no .env lies
                stdout=output,
                stderr=output,
            )

    @property
    def module(self) -> tuple[str, ...]:
        """What ``python -m`` runs, with its arguments."""
        return "tempogram", self.role

    async def _answers(self) -> bool:
        assert self.process.returncode is None, self.output.read_text()
        try:
            async with self.session.get(f"{self.url}/health") as response:
                return bool(response.status == 200)
        except aiohttp.ClientConnectionError:
            return False

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def kill(self) -> None:
        """Kill -9, by its own process id."""
        self.process.kill()
        await self.process.wait()

    def lose_runs(self) -> None:
        """Let tasks that were under way at a kill begin again at the next start.

        Otherwise they wait for 15 s, in which another process might still be at work on them.
        """
        with closing(sqlite3.connect(self.directory / "data" / "tempogram.db", timeout=30)) as database, database:
            database.execute("UPDATE tasks SET run_until_ms = 0 WHERE run_id <> ''")

    async def end(self) -> int:
        """End it by SIGTERM, and return its status."""
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()

    async def call(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, **request) as response:
            return response.status, await response.json(content_type=None)

    async def stats(self) -> dict[str, Any]:
        _, stats = await self.call("GET", "/queue/stats")
        return dict(stats)

    async def is_empty(self) -> bool:
        return bool((await self.stats())["total_queued"] == 0)

    @staticmethod
    async def until(holds: Any, *, within_s: float) -> None:
        """Poll until it holds: it happens in another process, so that no event can be awaited."""
        until_s = time.monotonic() + within_s
        while not await holds():
            assert time.monotonic() < until_s, f"{holds} still does not hold after {within_s} s"
            await asyncio.sleep(0.05)


class FreshProgram(Program):
    """It imports all by itself, for tests of the start."""

    kind = None


Started = TypeVar("Started", bound=Program)


@asynccontextmanager
async def program(
    directory: Path, telegram_url: str, *, role: str = "run", **environment: str
) -> AsyncIterator[Program]:
    """Run it until the block ends."""
    async with started(Program(directory, role=role, TELEGRAM_API_URL=telegram_url, **environment)) as running:
        yield running


@asynccontextmanager
async def started(program: Started) -> AsyncIterator[Started]:
    """Start a program, and end it with the block."""
    try:
        await program.start()
        yield program
    finally:
        await program.end()
        await program.session.close()


def update(number: int, text: str, *, chat_id: int = 77) -> dict[str, Any]:
    return {
        "update_id": number,
        "message": {"message_id": number, "chat": {"id": chat_id}, "from": {"id": 456}, "text": text},
    }
