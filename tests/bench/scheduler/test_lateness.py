"""The same as ``python -m bench.scheduler.lateness``, with fewer tasks and seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.harness import Checks
from bench.scheduler import lateness
from tempogram.storage.database.database import Database


async def test_each_of_many_tasks_runs_once_when_all_are_due_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = Checks()
    monkeypatch.setattr(lateness, "TASKS", 300)
    monkeypatch.setattr(lateness, "START_S", 1.0)
    database = await Database.open(f"sqlite:///{tmp_path / 'tasks.db'}")

    await lateness.spread_over_a_minute(checks, "SQLite", database, 2.0)
    await lateness.at_once(checks, "SQLite", database)

    await database.close()
    of_time = [sentence for sentence in checks.failed if " in ms: " in sentence]  # the machine may be busy
    assert checks.failed == of_time
