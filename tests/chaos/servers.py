"""Starts a Redis and a PostgreSQL of a run's own, which may be killed and emptied."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tempogram.bot.demo.process import free_port

START_S = 30.0
CLUSTER_USER = "postgres"
"""PostgreSQL refuses to be run by root, so a cluster that root starts belongs to the user that its package makes."""

APPEND_ONLY = "appendonlydir"
SLOW_US = 10_000


@dataclass(frozen=True, slots=True)
class SlowCommand:
    """A command from Redis's SLOWLOG, which goes by the clock, also while Redis waits for a processor."""

    number: int
    took_us: int
    words: str


@dataclass(slots=True)
class OwnRedis:
    """A server that keeps an AOF in its folder, fsynced every second, and refuses writes when its memory is full."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it on what its folder holds, and wait until that is read."""
        words = [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"),
            *("--slowlog-log-slower-than", str(SLOW_US), "--slowlog-max-len", "1000"),
        ]
        with (self.folder / "words").open("ab") as words_said:
            self._process = await asyncio.create_subprocess_exec("redis-server", *words, stdout=words_said)
        async with asyncio.timeout(START_S):
            while not await self._answers():  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Ask it to end; what it holds is in its file then."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()

    async def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    def forget(self) -> None:
        """Remove the files of a server that does not run: it starts empty."""
        shutil.rmtree(self.folder / APPEND_ONLY, ignore_errors=True)

    def keep_copy(self) -> None:
        """Copy the files as they are now, in the middle of whatever is written."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.folder / APPEND_ONLY, self._copy)

    def take_copy(self) -> None:
        """Put the copy in place of the files of a server that does not run: it starts with an older state."""
        self.forget()
        shutil.copytree(self._copy, self.folder / APPEND_ONLY)

    async def flush(self) -> None:
        await self._ask("FLUSHALL")

    def waited_us(self) -> int:
        """Return how long in all it waited for a processor; 0 where the kernel does not count that."""
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) // 1_000
        except OSError:
            return 0

    async def slow(self) -> list[SlowCommand]:
        """Return the slow commands since its start; none if it does not answer."""
        try:
            entries = await self._ask("SLOWLOG", "GET", "1000")
        except (RedisError, OSError, TimeoutError):
            return []
        return [_slow_command(entry) for entry in entries]

    @property
    def _copy(self) -> Path:
        return self.folder / "copy"

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, (self.folder / "words").read_text()
        try:
            return bool(await self._ask("PING"))
        except (RedisError, OSError):
            return False

    async def _ask(self, *words: str) -> Any:
        async with Redis.from_url(self.url, socket_timeout=5) as redis:
            return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


@dataclass(slots=True)
class OwnPostgres:
    """A cluster on a port of its own."""

    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """Return the process that started all others."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    async def make(self) -> None:
        """Make the cluster, without syncing files to disk: here processes die, no machine loses its power."""
        await self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
        }
        with (self.folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in options.items())

    async def start(self) -> None:
        await self._control("start")

    async def restart(self, *, crash: bool) -> None:
        """End every session and start again; a crash loses all but what is written ahead, and reads that first."""
        await self._control("restart", "-m", "immediate" if crash else "fast")

    async def stop(self) -> None:
        """End it, if it runs."""
        if (self.folder / "data" / "postmaster.pid").exists():
            await self._control("stop", "-m", "immediate")

    async def attempts(self) -> list[dict[str, Any]]:
        """Return the ledger's row of each call, with the times that the API does not show."""
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            return [dict(row) for row in await connection.fetch("SELECT * FROM attempts ORDER BY recorded_at_ms")]
        finally:
            await connection.close()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    async def _control(self, *words: str) -> None:
        await self._run("pg_ctl", "-D", self._data, "-l", str(self.folder / "words"), "-w", *words)

    async def _run(self, program: str, *words: str) -> None:
        """Run a program to its end, also when cancelled meanwhile: half a start would leave a server running."""
        running = asyncio.create_task(self._run_to_end(program, *words))
        try:
            await asyncio.shield(running)
        finally:
            await asyncio.wait([running])

    async def _run_to_end(self, program: str, *words: str) -> None:
        as_user = ("runuser", "-u", CLUSTER_USER, "--") if os.geteuid() == 0 else ()
        output = self.folder / f"{program}.out"
        with output.open("ab") as file:  # a pipe would be held open by the server that pg_ctl leaves behind
            process = await asyncio.create_subprocess_exec(
                *as_user,
                *(postgres_program(program), *words),
                stdout=file,
                stderr=file,
                cwd=self.folder,
                start_new_session=True,  # a signal to the whole group must not end it halfway
            )
        if await process.wait():
            raise RuntimeError(f"{program} failed: {output.read_text()[-2_000:]}")


@asynccontextmanager
async def own_redis() -> AsyncIterator[OwnRedis]:
    """Run one until the block ends."""
    with tempfile.TemporaryDirectory(prefix="tempogram-redis-") as folder:
        redis = OwnRedis(Path(folder))
        try:
            await redis.start()
            yield redis
        finally:
            await redis.kill()


@asynccontextmanager
async def own_postgres() -> AsyncIterator[OwnPostgres]:
    """Run one until the block ends."""
    with tempfile.TemporaryDirectory(prefix="tempogram-postgres-") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, CLUSTER_USER, CLUSTER_USER)
        postgres = OwnPostgres(Path(folder))
        try:
            await postgres.make()
            await postgres.start()
            yield postgres
        finally:
            await postgres.stop()


def missing_programs() -> list[str]:
    """Return which of the servers this machine lacks."""
    found = {"redis-server": shutil.which("redis-server"), "pg_ctl": postgres_program("pg_ctl")}
    return [name for name, path in found.items() if not path]


def postgres_program(name: str) -> str:
    """Return where a program of PostgreSQL lies, '' if nowhere; Debian's several versions are not on PATH."""
    return shutil.which(name) or _newest([str(each) for each in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")])


def _newest(paths: Sequence[str]) -> str:
    """Return the one of the highest version.

    >>> _newest(["/usr/lib/postgresql/9/bin/initdb", "/usr/lib/postgresql/15/bin/initdb"])
    '/usr/lib/postgresql/15/bin/initdb'
    """
    return max(paths, key=lambda path: int(Path(path).parts[-3]), default="")


def _slow_command(entry: Any) -> SlowCommand:
    """Read number, time, microseconds and words; the client stands behind them."""
    number, _, took_us, words, *_ = entry
    return SlowCommand(number, took_us, b" ".join(words).decode(errors="replace")[:200])
