"""One SQLite file has one process, whatever name it is opened by."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.processes import file_lock
from tempogram.storage.processes.exclusive_lock import exclusive_lock
from tempogram.storage.processes.file_lock import FileInUse, locked_file, wal_of

IS_LINUX = sys.platform == "linux"

OTHER = "import sys; from tests.storage.processes.test_file_lock import other; other(sys.argv[1])"


def other(path: str) -> None:
    """Be another process that wants the lock; print who has it."""
    try:
        with locked_file(Path(path)):
            print("locked")  # noqa: T201
    except FileInUse as error:
        print("in use by", error.process)  # noqa: T201


def opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


async def of_another_process(path: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OTHER, str(path), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tempogram.db"


def second_names(path: Path) -> list[Path]:
    (linked := path.with_name("linked.db")).symlink_to(path)
    (hard := path.with_name("hard.db")).hardlink_to(path)
    (path.parent / "dir").symlink_to(path.parent)
    return [path, linked, hard, path.parent / "dir" / path.name]


async def test_another_process_is_refused_by_every_name_with_the_id_of_the_one_that_has_it(path: Path) -> None:
    with locked_file(path):
        said = [await of_another_process(name) for name in second_names(path)]
    afterwards = await of_another_process(path)

    assert said == [f"in use by {os.getpid()}"] * 4
    assert afterwards == "locked"


async def test_deleting_the_files_beside_a_database_lets_no_second_process_in(path: Path) -> None:
    with locked_file(path):
        for beside in path.parent.glob("tempogram.db?*"):
            beside.unlink()

        assert await of_another_process(path) == f"in use by {os.getpid()}"


def test_the_same_process_is_refused_too_and_sqlite_keeps_its_locks(path: Path) -> None:
    with locked_file(path), closing(opened(path)) as connection:
        connection.execute("CREATE TABLE one (number INTEGER)")
        connection.execute("BEGIN IMMEDIATE")
        names = second_names(path)
        for name in names:
            with pytest.raises(FileInUse), locked_file(name):
                pass

        locks = Path("/proc/locks").read_text() if IS_LINUX else ""
        assert not IS_LINUX or f":{path.stat().st_ino} 1073741826" in locks  # SQLite's shared lock


async def test_the_sentence_names_the_process(path: Path) -> None:
    url = f"sqlite:///{path}"
    async with exclusive_lock(url):
        with pytest.raises(SettingsError, match=rf"tempogram.db \(process {os.getpid()}\), and with a queue in memory"):
            async with exclusive_lock(url):
                pass


async def test_a_database_and_the_files_beside_it_are_never_readable_by_others(path: Path) -> None:
    before = os.umask(0)
    try:
        url = f"sqlite:///{path.parent / 'new' / path.name}"
        async with exclusive_lock(url):
            database = await Database.open(url)
            await database.write_alone(lambda connection: connection.exec_driver_sql("CREATE TABLE one (number)"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (path.parent / "new").iterdir()}
            await database.close()
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["tempogram.db", "tempogram.db-wal", "tempogram.db-shm"], 0o600)
    assert stat.S_IMODE((path.parent / "new").stat().st_mode) == 0o700


def test_a_database_that_is_deleted_or_replaced_while_it_is_used_is_noticed(path: Path) -> None:
    with locked_file(path) as file, capture_logs() as logs:
        file.check()
        path.unlink()
        file.check()
        file.check()
        path.touch()
        with pytest.raises(SettingsError, match="was replaced by another file while it was used"):
            file.check()

    assert [(each["event"], each["file"]) for each in logs] == [("database_file_gone", str(path))]


def test_a_symbolic_link_that_comes_to_lead_elsewhere_is_noticed(path: Path) -> None:
    (linked := path.with_name("linked.db")).symlink_to(path)
    with locked_file(linked) as file:
        file.check()
        (other := path.with_name("other.db")).touch()
        linked.unlink()
        linked.symlink_to(other)

        with pytest.raises(SettingsError, match=r"linked\.db was replaced by another file"):
            file.check()


def test_a_wal_that_is_deleted_while_it_is_used_is_noticed_once_and_a_clean_end_still_saves_it(path: Path) -> None:
    with locked_file(path) as file, capture_logs() as logs, closing(opened(path)) as connection:
        connection.execute("CREATE TABLE one (number INTEGER)")
        file.check()
        wal_of(path).unlink()
        file.check()
        file.check()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM one").fetchone() == (0,)
    assert [(each["event"], each["file"]) for each in logs] == [("database_file_gone", str(wal_of(path)))]


def test_a_file_with_several_names_is_named_at_the_start(path: Path) -> None:
    with locked_file(path) as file, capture_logs() as logs:
        file.warn_of_links()
        second_names(path)
        file.warn_of_links()

    assert [(each["event"], each["links"]) for each in logs] == [("database_has_other_names", 2)]


@pytest.mark.parametrize("name", ["a_directory", "a_file/tempogram.db"])
async def test_a_path_that_can_be_no_database_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "a_directory").mkdir()
    (tmp_path / "a_file").touch()

    with pytest.raises(SettingsError, match=rf"^the database file .*{name} cannot be opened and locked \(.*\); set "):
        async with exclusive_lock(f"sqlite:///{tmp_path / name}"):
            pass


def test_without_locks_on_open_descriptors_the_lock_is_beside_the_file_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fcntl, "F_OFD_SETLK", raising=False)
    with locked_file(path):
        linked = second_names(path)[1]
        file_lock._held.clear()
        with pytest.raises(FileInUse), locked_file(linked):
            pass
