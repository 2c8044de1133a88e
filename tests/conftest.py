"""Gives each test a clock and a database of its own; Hypothesis judges the code, not how busy the machine is."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tempogram.storage.database.database import Database
from tests.fakes import Clock

pytest_plugins = ["tests.import_names"]

settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

# A traceback with rich and its local variables takes seconds to draw.
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run two files for each core: about half of the suite's time is waiting for processes and servers."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection() -> None:
    """Look for no garbage while all modules are imported, which took 8 s of 20 in each process."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what was imported stays, so tests need not look through it again
    gc.enable()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with all tables, to be copied: migrating takes ten times as long as a copy."""
    path = tmp_path_factory.mktemp("migrated") / "tempogram.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


async def _migrate(url: str) -> None:
    await (await Database.open(url)).close()


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """A SQLite database of the test's own, migrated and empty."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'tempogram.db')}"


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    database = await Database.open(sqlite_url)
    yield database
    await database.close()
