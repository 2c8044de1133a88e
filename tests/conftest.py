"""Gives each test a clock and a database of its own; Hypothesis judges the code, not how busy the machine is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tempogram.storage.database.database import Database
from tests.fakes import Clock

pytest_plugins = ["tests.import_names"]

settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path / 'tempogram.db'}")
    yield database
    await database.close()
