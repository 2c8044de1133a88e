"""The same as ``python -m bench.scheduler.killed``, with fewer tasks, and all that is done to them in some seconds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.harness import Checks
from bench.scheduler.disturbances import Disturbances
from bench.scheduler.killed import READY_S, Judged, check, kinds
from bench.scheduler.task_process import Kind
from bench.scheduler.task_processes import Note, TaskProcesses, own_database, task_processes
from tempogram.engine.ports.task_store import TaskRow


@pytest.mark.postgres
async def test_tasks_of_a_leader_that_is_killed_and_cut_off_begin_once_for_each_due_time() -> None:
    checks = Checks()
    async with own_database() as url, task_processes(url, kinds(12, (1_000, 2_000)), count=2) as processes:
        disturbances = Disturbances(processes, random.Random(1))
        await processes.goes_on(READY_S, runs=5)
        await disturbances.kill_near()
        await processes.goes_on(READY_S, runs=5)
        await disturbances.cut()
        await disturbances.step()
        await processes.goes_on(READY_S, runs=10)
        await check(checks, processes, disturbances)
    assert checks.failed == []


def test_what_began_twice_and_what_is_unaccounted_for_is_named(tmp_path: Path) -> None:
    once, repeats = Kind("once", 1_000, 10, is_idempotent=False), Kind("repeats", 1_000, 10, is_idempotent=True)
    notes = [Note(at, "p1", "begins", name, 1_000, f"{name}{at}") for name in ("once", "repeats") for at in (1, 2)]
    rows = {
        "once": TaskRow(name="once", due_at_ms=2_000, run_number=1),
        "repeats": TaskRow(name="repeats", due_at_ms=1_000, run_number=2, lost=1),
    }
    disturbances = Disturbances(TaskProcesses("", tmp_path, [once, repeats]), random.Random(1))
    judged = Judged([once, repeats], notes, rows, disturbances)

    assert judged.doubles() == ["once: 1, of 0"]
    assert judged.unaccounted() == ["once: 2 due times, 1 accounted for"]
