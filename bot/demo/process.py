"""``tempogram run``, or another role, as a child process that is used over its API."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tempogram.bot.config.misspelt import names
from tempogram.engine.model.errors import EngineError

ADMIN_TOKEN = "admin-token-of-a-throw-away-engine"  # noqa: S105 - of a temporary engine
START_TIMEOUT_S = 180
"""aiogram alone takes seconds to import on a busy machine."""

END_TIMEOUT_S = 30
"""Longer than a call to Telegram may take, which is finished before the end."""

NOTICED_S = 0.2
"""How long after its last connection the end of a process is known at the latest. untuned: it takes milliseconds."""

ROOT = Path(__file__).parents[3]


class ProcessFailed(EngineError):
    """The process did not start, ended by itself, or refused a call."""


PORTS = range(15_000, 32_000)
"""Below those that Linux gives to outgoing connections, which could take the port of a server while it is restarted."""


def _shuffled(ports: range) -> Iterator[int]:
    """Give every port, and none again before all the others: what is not bound yet looks free."""
    first = secrets.randbelow(len(ports))
    return cycle((*ports[first:], *ports[:first]))


_candidates = _shuffled(PORTS)


def free_port() -> int:
    """Return a port that is free, and stays so while its server is stopped and started again.

    Raises:
        ProcessFailed: None is free.
    """
    for port in islice(_candidates, len(PORTS)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise ProcessFailed(
        f"no port from {PORTS.start} to {PORTS.stop - 1} can be opened at 127.0.0.1; end a program that uses them"
    )


@dataclass
class EngineProcess:
    """An engine that can be killed and restarted on the same database, in ``directory``.

    ``log_file`` gets its standard error; None: ours does.
    """

    telegram_url: str
    directory: Path
    tokens: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    module: str = "tempogram"
    role: str = "run"
    log_file: Path | None = None
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None
    session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            ProcessFailed: It ended instead, or took too long.
        """
        await self.spawn()
        until_s = time.monotonic() + START_TIMEOUT_S
        while not await self.answers():
            self.must_run()
            if time.monotonic() > until_s:
                raise ProcessFailed(f"the engine did not answer within {START_TIMEOUT_S} s")
            await asyncio.sleep(0.02)

    async def spawn(self) -> None:
        """Start it, and wait for nothing."""
        if self.log_file is None:
            self.process = await self._spawn(None)
        else:
            with self.log_file.open("ab") as log_file:
                self.process = await self._spawn(log_file.fileno())
        self.session = self.session or aiohttp.ClientSession(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})

    async def kill(self) -> None:
        """Kill -9, by its own process id."""
        if self.process is not None and self.is_running:
            self.process.kill()
            await self.process.wait()

    async def end(self) -> None:
        """Ask it to end, and see that it does."""
        if self.process is not None and self.is_running:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), END_TIMEOUT_S)
            except TimeoutError:
                await self.kill()

    async def close(self) -> None:
        """See that nothing of it is left. What it has under way is not finished: that would take a second or two."""
        await self.kill()
        if self.session is not None:
            await self.session.close()

    def must_run(self) -> None:
        """Raise ``ProcessFailed``, with its last words, if it ended by itself."""
        if self.process is not None and not self.is_running:
            said = self.log_file.read_text(errors="replace").strip() if self.log_file is not None else ""
            last = f": {said.splitlines()[-1]}" if said else ""
            raise ProcessFailed(f"the engine ended by itself, with status {self.process.returncode}{last}")

    async def call(self, method: str, path: str, body: object = None, *, lines: Sequence[object] = ()) -> Any:
        """Make one call of the API, with a body in JSON, or with JSON lines.

        Raises:
            ProcessFailed: It was refused, or the engine did not answer.
        """
        assert self.session is not None, "it is started first"  # noqa: S101 - an invariant
        try:
            async with self.session.request(method, self.url + path, **_body(body, lines)) as response:
                status, answer = response.status, await response.json()
        except aiohttp.ClientError as error:
            await self._notice_end()
            self.must_run()
            raise ProcessFailed(f"the engine does not answer: {type(error).__name__}") from error
        if status >= 400:
            raise ProcessFailed(f"{method} {path}: {status} {answer}")
        return answer

    async def _notice_end(self) -> None:
        """Wait for a moment: the connections of a process that was killed end before its status is known."""
        if self.process is not None and self.is_running:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), NOTICED_S)

    async def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = await self.call("GET", "/queue/stats")
        return stats

    async def _spawn(self, errors: int | None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self.module, self.role),
            env=self._environment(),
            cwd=self.directory,  # where no .env lies
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
        )

    def _environment(self) -> dict[str, str]:
        own = {
            "TELEGRAM_API_URL": self.telegram_url,
            "BOT_TOKENS": ",".join(self.tokens),
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "SECRET_KEY": "secret-key-of-a-throw-away-engine",
            "DATA_DIR": str(self.directory / "data"),
            "PORT": str(self.port),
            "METRICS_PORT": str(self.port),  # of a role without an API
            "LOG_LEVEL": "ERROR",
            "PYTHONPATH": str(ROOT),
        }
        return without_settings(os.environ) | own | dict(self.environment)

    async def answers(self) -> bool:
        """Tell whether it is up."""
        assert self.session is not None, "it is made before"  # noqa: S101 - an invariant
        try:
            async with self.session.get(f"{self.url}/health") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False


def _body(body: object, lines: Sequence[object]) -> dict[str, Any]:
    if not lines:
        return {"json": body}
    return {"data": b"\n".join(map(msgspec.json.encode, lines)), "headers": {"Content-Type": "application/x-ndjson"}}


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without our settings, so that a user's bots and database are out of reach.

    >>> without_settings({"BOT_TOKENS": "42:secret", "port": "80", "PATH": "/bin"})
    {'PATH': '/bin'}
    """
    ours = set(names())
    return {name: value for name, value in environment.items() if name.lower() not in ours}
