"""A lost or damaged WAL is reported at the next start, if the last process did not end cleanly."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.processes.clean_end import marked_in_use
from tempogram.storage.processes.exclusive_lock import exclusive_lock
from tests import ROOT
from tests.storage.backends import message

PAGE_BYTES = 4_096
FRAME_BYTES = 24 + PAGE_BYTES


def overwrite(path: Path, start: int = 0, end: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    end = len(content) if end is None else end
    content[start:end] = random.Random(1).randbytes(end - start)
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "deleted": (Path.unlink, "is missing"),
    "emptied": (empty, "is empty or damaged"),
    "garbage": (overwrite, "is empty or damaged"),
    "garbage behind its header": (lambda path: overwrite(path, 32), "is damaged"),
    "garbage at its end": (lambda path: overwrite(path, path.stat().st_size - 2 * FRAME_BYTES), "is damaged"),
    "a page overwritten": (lambda path: overwrite(path, 32 + FRAME_BYTES + 24, 32 + FRAME_BYTES + 400), "is damaged"),
}


async def ended(path: Path, how: str) -> None:
    """Let a process use the database, and end so."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.storage.processes.dies_in_use", f"sqlite:///{path}", how), cwd=ROOT
    )
    assert (await process.wait() == 0) is (how == "cleanly")


async def left_by_a_kill(path: Path, rounds: int = 1) -> Path:
    """Return a database as a kill leaves it: a copy of its files while it is in use."""
    left = path.with_name("left.db")
    async with exclusive_lock(f"sqlite:///{path}"):
        database = await Database.open(f"sqlite:///{path}")
        async with marked_in_use(database):
            for _ in range(rounds):
                await SqlLedger(database).add([message()])
                async with database.reading() as connection:
                    await connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            for _ in range(3):
                await SqlLedger(database).add([message()])
            shutil.copy(path, left)
            shutil.copy(f"{path}-wal", f"{left}-wal")
        await database.close()
    return left


async def reported(path: Path) -> list[str]:
    """Return what the next start says of the database."""
    with capture_logs() as logs:
        async with exclusive_lock(f"sqlite:///{path}"):
            pass
    assert {each["event"] for each in logs} <= {"database_commits_lost"}
    return [each["reason"] for each in logs]


def wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def messages_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])


@pytest.fixture
def path(tmp_path: Path, migrated_sqlite: Path) -> Path:
    return Path(shutil.copy(migrated_sqlite, tmp_path / "tempogram.db"))


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_wal_that_was_damaged_after_a_kill_is_reported_once(path: Path, damage: str) -> None:
    left = await left_by_a_kill(path)
    harm, said = DAMAGES[damage]

    harm(wal(left))

    first, second = await reported(left), await reported(left)
    reason = (
        f"the last process did not end cleanly, and its WAL {wal(left)} {said}: what it committed last is lost, "
        "unless another program has opened the database since"
    )
    assert (first, second) == ([reason], [])


@pytest.mark.parametrize("rounds", [1, 2, 5])
async def test_a_wal_as_a_kill_leaves_it_is_taken_over_in_silence(path: Path, rounds: int) -> None:
    left = await left_by_a_kill(path, rounds)

    assert await reported(left) == []
    assert messages_in(left) == rounds + 3


async def test_a_last_commit_that_the_kill_cut_off_is_no_damage(path: Path) -> None:
    left = await left_by_a_kill(path)

    wal(left).write_bytes(wal(left).read_bytes()[:-100])

    assert await reported(left) == []
    assert messages_in(left) == 3


@pytest.mark.parametrize("rubbish", [b"", b"garbage" * 1_000])
async def test_a_wal_found_after_a_clean_end_is_left_out_in_silence(path: Path, rubbish: bytes) -> None:
    await ended(path, "cleanly")
    assert not wal(path).exists()

    wal(path).write_bytes(rubbish)

    assert await reported(path) == []
    assert messages_in(path) == 1


async def test_a_wal_that_is_deleted_after_kill_9_is_reported(path: Path) -> None:
    await ended(path, "killed")

    wal(path).unlink()

    assert "its WAL" in (await reported(path))[0]
    assert messages_in(path) == 0


async def test_after_kill_9_alone_nothing_is_lost_or_said(path: Path) -> None:
    await ended(path, "killed")

    assert await reported(path) == []
    assert messages_in(path) == 1


async def test_a_read_only_look_after_a_kill_leaves_the_wal_to_the_next_start(path: Path) -> None:
    left = await left_by_a_kill(path)
    database = Database.open_read_only(f"sqlite:///{left}")
    async with database.reading() as connection:
        await connection.exec_driver_sql("SELECT count(*) FROM messages")
    await database.close()

    assert await reported(left) == []
    assert messages_in(left) == 4


async def test_the_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "foreign.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    before = path.read_bytes()

    assert await reported(path) == []
    assert path.read_bytes() == before
