"""kill -9 and SIGTERM: every accepted message is sent, and no limit is exceeded."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tempogram.simulator.client import running_simulator
from tempogram.storage.database.engines import parse
from tempogram.storage.processes.exclusive_lock import EXCLUSIVE_LOCK
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN, Program, program, update
from tests.storage.servers import own_postgres, run


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_settings(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {}
    else:
        with own_postgres() as url:
            yield {"DATABASE_URL": url}


@pytest.fixture
def postgres_url() -> Iterator[str]:
    with own_postgres() as url:
        yield url


async def test_a_kill_in_the_middle_of_sending_loses_nothing_and_breaks_no_window(
    tmp_path: Path, database_settings: dict[str, str]
) -> None:
    batch = [{"bot": "42", "chat_id": chat, "text": f"hello {chat}"} for chat in range(1, 91)]

    async with (
        running_simulator(total_limit=30) as telegram,
        program(tmp_path, telegram.url, **database_settings) as tempogram,
    ):
        await tempogram.call("POST", "/messages/batch", json=batch)
        await tempogram.until(lambda: answered(telegram, 31), within_s=30)  # in the second window
        await tempogram.kill()
        before = (await telegram.report()).accepted
        await tempogram.start()
        await tempogram.until(tempogram.is_empty, within_s=30)
        report = await telegram.report()
        texts = {call["text"] for call in await telegram.calls() if call["code"] == 200 and call["cost"]}

    assert 0 < before < 90
    assert texts == {message["text"] for message in batch}
    assert report.broke_no_window
    assert report.duplicates <= 5


async def test_a_kill_between_the_200_and_the_handler_answers_once_after_the_restart(
    tmp_path: Path, database_settings: dict[str, str]
) -> None:
    async with running_simulator() as telegram, program(tmp_path, telegram.url, **database_settings) as tempogram:
        posts = [
            tempogram.call("POST", f"/webhook/telegram/{TOKEN}", json=update(number, f"question {number}"))
            for number in range(1, 11)
        ]
        statuses = [status for status, _ in await asyncio.gather(*posts)]
        await tempogram.kill()
        before = (await telegram.report()).accepted
        await tempogram.start()
        await tempogram.until(lambda: answered(telegram, 10), within_s=30)
        report = await telegram.report()

    assert statuses == [200] * 10
    assert before < 10
    assert report.accepted - report.duplicates == 10
    assert report.duplicates <= 1  # what was in flight at the kill


async def test_a_signal_ends_the_program_cleanly_and_the_next_start_continues(tmp_path: Path) -> None:
    batch = [{"bot": "42", "chat_id": chat, "text": f"hello {chat}"} for chat in range(1, 61)]

    async with running_simulator() as telegram, program(tmp_path, telegram.url) as tempogram:
        await tempogram.call("POST", "/messages/batch", json=batch)
        status = await tempogram.end()
        before = (await telegram.report()).accepted
        await tempogram.start()
        await tempogram.until(tempogram.is_empty, within_s=30)
        report = await telegram.report()

    assert status == 0
    assert before < 60
    assert report.accepted == 60
    assert report.duplicates == 0


async def test_a_signal_during_requests_answers_those_that_are_there_and_leaves_no_traceback(tmp_path: Path) -> None:
    bearer = f"Authorization: Bearer {ADMIN_TOKEN}\r\nContent-Type: application/json\r\n"
    half = "Content-Length: 1000\r\n\r\n{"
    heads = {
        "head": "POST /messages HTTP/1.1\r\nHos",
        "message": f"POST /messages HTTP/1.1\r\nHost: x\r\n{bearer}{half}",
        "update": f"POST /webhook/telegram/{TOKEN} HTTP/1.1\r\nHost: x\r\n{half}",
    }
    waits = {"bot": "42", "chat_id": 7, "text": "hello"}

    async with running_simulator() as telegram, program(tmp_path, telegram.url) as tempogram:
        await tempogram.call("PATCH", "/bots/42", json={"paused": True})
        waiting = asyncio.create_task(tempogram.call("POST", "/messages?wait=30", json=waits))
        await tempogram.until(lambda: is_waiting(tempogram), within_s=10)
        async with half_sent(tempogram.port, heads.values()) as readers:
            status = await tempogram.end()
            answers = dict(zip(heads, [await reader.read() for reader in readers], strict=True))
        answered, message = await waiting

    assert status == 0
    assert (answered, message["status"]) == (202, "queued")
    assert answers["head"] == b""
    assert {name: answer.partition(b"\r\n")[0] for name, answer in answers.items() if name != "head"} == {
        "message": b"HTTP/1.1 503 Service Unavailable",
        "update": b"HTTP/1.1 503 Service Unavailable",
    }
    assert "Traceback" not in tempogram.output.read_text()


async def is_waiting(tempogram: Program) -> bool:
    return bool((await tempogram.stats())["total_queued"] == 1)


@asynccontextmanager
async def half_sent(port: int, heads: Iterable[str]) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open a connection for each, which says so much and no more, until the block ends."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in heads]
    for (_, writer), head in zip(connections, heads, strict=True):
        writer.write(head.encode())
        await writer.drain()
    await asyncio.sleep(0.2)  # until it has read them: nothing tells
    yield [reader for reader, _ in connections]
    for _, writer in connections:
        writer.close()


async def test_a_removal_cut_off_by_a_kill_goes_on_when_asked_again_and_loses_nothing(tmp_path: Path) -> None:
    removed, other = "43:token-of-a-removed-bot", [{"bot": "42", "chat_id": chat, "text": "hi"} for chat in range(1, 6)]
    waiting = [{"bot": "43", "chat_id": chat, "text": "hello"} for chat in range(1, 10_001)]

    async with running_simulator() as telegram, program(tmp_path, telegram.url, QUEUE_BOT_CAP="0") as tempogram:
        await tempogram.call("POST", "/bots", json={"token": removed})
        for bot_id in ("42", "43"):
            await tempogram.call("PATCH", f"/bots/{bot_id}", json={"paused": True})
        for batch in (other, waiting):
            await tempogram.call("POST", "/messages/batch", json=batch)
        cut_off = asyncio.create_task(tempogram.call("DELETE", "/bots/43"))
        await tempogram.until(lambda: has_cancelled(tmp_path, 43), within_s=30)
        await tempogram.kill()
        await asyncio.gather(cut_off, return_exceptions=True)
        before = statuses_of(tmp_path, bot_id=43)
        await tempogram.start()
        await tempogram.until(lambda: is_removed(tempogram, "43"), within_s=60)
        await tempogram.call("PATCH", "/bots/42", json={"paused": False})
        await tempogram.until(tempogram.is_empty, within_s=30)
        report = await telegram.report()

    assert 0 < before["cancelled"] < 10_000
    assert statuses_of(tmp_path, bot_id=43) == {"cancelled": 10_000}
    assert statuses_of(tmp_path, bot_id=42) == {"sent": 5}
    assert (report.accepted, report.duplicates) == (5, 0)


async def test_a_second_program_on_the_same_database_is_refused(
    tmp_path: Path, database_settings: dict[str, str]
) -> None:
    async with running_simulator() as telegram, program(tmp_path, telegram.url, **database_settings) as tempogram:
        second = await program_of(tmp_path, telegram.url, tempogram.directory, database_settings)

    assert second[0] == 2
    assert "another tempogram uses the database" in second[1]
    assert "Traceback" not in second[1]


@pytest.mark.postgres
async def test_a_program_that_loses_its_database_lock_ends_with_one_sentence(tmp_path: Path, postgres_url: str) -> None:
    async with (
        running_simulator() as telegram,
        program(tmp_path, telegram.url, DATABASE_URL=postgres_url) as tempogram,
        lock_taken_over(postgres_url),
    ):
        status = await asyncio.wait_for(tempogram.process.wait(), 30)

    said = tempogram.output.read_text()
    assert status == 2
    assert said.count("tempogram: another tempogram uses the database") == 1
    assert "Traceback" not in said


@asynccontextmanager
async def lock_taken_over(url: str) -> AsyncIterator[None]:
    """Wait for the lock on the database, end the connection that has it, and keep it until the block ends."""
    engine = create_async_engine(parse(url), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        waiting = asyncio.create_task(connection.execute(text(f"SELECT pg_advisory_lock({EXCLUSIVE_LOCK})")))
        async with asyncio.timeout(30):
            while not waiting.done():
                await run(url, BREAK_ITS_HOLDER)
                await asyncio.sleep(0.05)
        yield
    await engine.dispose()


BREAK_ITS_HOLDER = """
    SELECT pg_terminate_backend(held.pid) FROM pg_locks AS held JOIN pg_locks AS wanted USING (database, objid)
    WHERE held.locktype = 'advisory' AND held.granted AND NOT wanted.granted AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def program_of(
    tmp_path: Path, telegram_url: str, directory: Path, database_settings: dict[str, str]
) -> tuple[int, str]:
    """Start another program on the database in ``directory``, and return its status and output."""
    own = tmp_path / "second"
    own.mkdir()
    second = Program(own, TELEGRAM_API_URL=telegram_url, **database_settings | {"DATA_DIR": str(directory / "data")})
    process = await second.spawn()
    status = await process.wait()
    await second.session.close()
    return status, second.output.read_text()


async def answered(telegram: object, answers: int) -> bool:
    report = await telegram.report()  # type: ignore[attr-defined]
    return bool(report.accepted - report.duplicates >= answers)


async def has_cancelled(directory: Path, bot_id: int) -> bool:
    return "cancelled" in statuses_of(directory, bot_id=bot_id)


async def is_removed(tempogram: Program, bot_id: str) -> bool:
    """Ask for the removal again; 404 means complete."""
    status, _ = await tempogram.call("DELETE", f"/bots/{bot_id}")
    assert status in {200, 202, 404}
    return status == 404


def statuses_of(directory: Path, *, bot_id: int) -> dict[str, int]:
    query = "SELECT status, count(*) FROM messages WHERE bot_id = ? AND direction = 'out' GROUP BY status"
    with closing(sqlite3.connect(directory / "data" / "tempogram.db")) as database:
        return dict(database.execute(query, (bot_id,)).fetchall())
