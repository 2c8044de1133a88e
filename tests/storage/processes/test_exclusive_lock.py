"""Two processes with a queue in memory must not share a database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.processes import exclusive_lock as module
from tempogram.storage.processes.exclusive_lock import ExclusiveLock, PostgresExclusiveLock, exclusive_lock
from tempogram.storage.processes.session_lock import SessionLock
from tests.storage.backends import OnPostgres, OnSqlite
from tests.storage.servers import DISCONNECT_OTHERS, run


class ExclusiveLockContract:
    async def test_a_second_process_is_refused_in_one_sentence(self, url: str) -> None:
        async with exclusive_lock(url):
            with pytest.raises(SettingsError, match="another tempogram uses the database"):
                async with exclusive_lock(url, timeout_s=0.01):
                    pass

    async def test_the_database_can_be_locked_again_afterwards(self, url: str) -> None:
        async with exclusive_lock(url):
            pass
        async with exclusive_lock(url):
            pass


class TestExclusiveLockOnSqlite(OnSqlite, ExclusiveLockContract):
    async def test_a_sqlite_file_has_one_process_wherever_the_queue_is(self, url: str) -> None:
        async with exclusive_lock(url, shared=True):
            with pytest.raises(SettingsError, match="another tempogram uses the database"):
                async with exclusive_lock(url, shared=True):
                    pass


class TestExclusiveLockOnPostgres(OnPostgres, ExclusiveLockContract):
    async def test_a_lock_lost_with_its_connection_is_taken_again(self, url: str) -> None:
        async with exclusive_lock(url) as use:
            await run(url, DISCONNECT_OTHERS)
            with capture_logs() as logged:
                await looked(use)

            assert [each["event"] for each in logged] == [LOST, HELD_AGAIN]
            with pytest.raises(SettingsError, match="another tempogram uses the database"):
                async with exclusive_lock(url, timeout_s=0.01):
                    pass

    async def test_a_database_that_another_process_locked_meanwhile_is_given_up_in_one_sentence(self, url: str) -> None:
        async with exclusive_lock(url, timeout_s=0.01) as use:
            await run(url, DISCONNECT_OTHERS)
            async with exclusive_lock(url):
                with pytest.raises(SettingsError, match="another tempogram uses the database"):
                    await looked(use)

    async def test_a_lock_whose_connection_is_half_open_is_taken_again_soon(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As after a firewall that forgot it: the server has ended its side, and no word of that came through."""
        monkeypatch.setattr(module, "LOCK_QUERY_TIMEOUT_S", 1.0)
        async with wire(url) as (by_wire, cut), exclusive_lock(by_wire) as use:
            cut()
            async with asyncio.timeout(10):
                await looked(use)

            with pytest.raises(SettingsError, match="another tempogram uses the database"):
                async with exclusive_lock(url, timeout_s=0.01):
                    pass

    async def test_processes_whose_queue_is_in_redis_share_a_database(self, url: str) -> None:
        async with exclusive_lock(url, shared=True) as first, exclusive_lock(url, shared=True) as second:
            await looked(first)
            await looked(second)

    async def test_a_queue_in_memory_is_refused_beside_one_in_redis(self, url: str) -> None:
        async with exclusive_lock(url, shared=True):
            with pytest.raises(SettingsError, match="another tempogram uses the database"):
                async with exclusive_lock(url, timeout_s=0.01):
                    pass

    async def test_a_queue_in_redis_is_refused_beside_one_in_memory(self, url: str) -> None:
        async with exclusive_lock(url):
            with pytest.raises(SettingsError, match="a tempogram with its queue in memory uses the database"):
                async with exclusive_lock(url, shared=True, timeout_s=0.01):
                    pass

    async def test_a_lock_lost_in_a_long_outage_and_its_return_are_logged_once_each(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "CHECK_EVERY_S", 0)
        async with exclusive_lock(url) as use:
            assert isinstance(use, PostgresExclusiveLock)
            use._lock = NeverThere(use._lock, times=5)  # type: ignore[assignment]
            await run(url, DISCONNECT_OTHERS)
            with capture_logs() as logged:
                await looked(use)

        assert [each["event"] for each in logged] == [LOST, HELD_AGAIN]

    async def test_a_held_lock_is_not_taken_again(self, url: str) -> None:
        async with exclusive_lock(url) as use:
            with capture_logs() as logged:
                await looked(use)
                await looked(use)

        assert logged == []


LOST, HELD_AGAIN = "database_lock_lost", "database_lock_regained"


class NeverThere:
    """A lock that cannot be taken so many times."""

    def __init__(self, lock: SessionLock, *, times: int) -> None:
        self._lock = lock
        self._times = times
        self.is_held, self.release = lock.is_held, lock.release

    async def take(self) -> bool:
        self._times -= 1
        if self._times >= 0:
            raise OSError("connection refused")
        return await self._lock.take()


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """Open a proxy to the database; yield its URL, and a function that cuts its connections at the far end."""
    far_ends: list[asyncio.StreamWriter] = []
    talks: list[asyncio.Task[None]] = []
    parsed = make_url(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while said := await reader.read(65_536):
                writer.write(said)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(parsed.host, parsed.port)
        far_ends.append(far_writer)
        try:
            await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))
        finally:
            far_writer.transport.abort()
            writer.transport.abort()

    def cut() -> None:
        while far_ends:
            far_ends.pop().transport.abort()

    server = await asyncio.start_server(lambda *ends: talks.append(asyncio.create_task(talk(*ends))), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield parsed.set(host=host, port=port).render_as_string(hide_password=False), cut
    finally:
        server.close()
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def looked(use: ExclusiveLock) -> None:
    assert isinstance(use, PostgresExclusiveLock)
    await use.check()
