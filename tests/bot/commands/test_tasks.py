"""``tempogram tasks``, as a user types it, against a running program."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import Program, program
from tests.forked import type_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODULE = """
from aiogram import Router
from tempogram import cron, every

router = Router()

@every("poller", 3_600, uses={"x:mentions": 1})
async def poll() -> None: ...

@every("broken", 3_600, at_start=True)
async def fail() -> None:
    raise OSError("no answer from [mentions]")

@cron("report", "30 8 * * MON-FRI", zone="Europe/Berlin")
async def report() -> None: ...
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tempogram(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    directory = tmp_path_factory.mktemp("program")
    (directory / "watching.py").write_text(MODULE)
    async with (
        running_simulator() as telegram,
        program(directory, telegram.url, BEHAVIOURS="watching") as running,
    ):
        yield running


async def tasks(tempogram: Program, *words: str) -> tuple[int, str, str]:
    return await type_in(tempogram.directory, ["tasks", *words, "--url", tempogram.url])


async def has_run(tempogram: Program, name: str) -> None:
    async def runs() -> bool:
        return bool((await tempogram.call("GET", f"/tasks/{name}"))[1]["counts"]["runs"])

    await tempogram.until(runs, within_s=15)


async def test_all_tasks_are_a_table_or_what_the_api_says(tempogram: Program) -> None:
    await has_run(tempogram, "broken")
    status, table, _ = await tasks(tempogram)
    _, printed, _ = await tasks(tempogram, "--json")

    assert status == 0
    assert "cron 30 8 * * MON-FRI in Europe/Berlin" in table
    assert "every 3600 s" in table
    assert "failed: OSError: no answer from [mentions]" in table
    names = [each["name"] for each in json.loads(printed)["tasks"]]
    assert names == sorted(names)
    assert {"broken", "poller", "report", "tempogram.retention"} <= set(names)


async def test_a_task_is_run_and_its_run_is_in_its_history(tempogram: Program) -> None:
    assert (await tasks(tempogram, "history", "poller"))[1] == "poller has not run yet.\n"

    await tasks(tempogram, "run", "poller")
    await has_run(tempogram, "poller")

    _, table, _ = await tasks(tempogram, "history", "poller")
    assert "done" in table


async def test_a_task_is_paused_and_resumed(tempogram: Program) -> None:
    _, paused, _ = await tasks(tempogram, "pause", "report")
    _, resumed, _ = await tasks(tempogram, "resume", "report")

    assert "PAUSED" in paused
    assert "PAUSED" not in resumed


async def test_an_interval_is_changed_until_the_declared_one_is_asked_for(tempogram: Program) -> None:
    _, changed, _ = await tasks(tempogram, "interval", "poller", "1800.5")
    _, declared, _ = await tasks(tempogram, "interval", "poller", "declared")

    assert "every 1800.5 s" in changed
    assert "every 3600 s" in declared


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "poler"], "there is no task 'poler'"),
        (["interval", "report", "60"], "report is due by cron; its interval cannot be changed"),
        (["interval", "poller", "often"], "'often' is no interval; write seconds, or declared"),
        (["forget", "poller"], "poller is declared; take it out of the program first"),
    ],
)
async def test_what_makes_no_sense_is_one_sentence(tempogram: Program, words: list[str], sentence: str) -> None:
    status, printed, errors = await tasks(tempogram, *words)

    assert (status, printed) == (2, "")
    assert sentence in " ".join(errors.replace("│", " ").split())


async def test_the_loops_of_the_process_are_healthy_and_the_task_is_seen(tempogram: Program) -> None:
    await tasks(tempogram, "run", "poller")
    await has_run(tempogram, "poller")

    _, health = await tempogram.call("GET", "/health/cron")

    lines = {each["service"].partition("@")[0]: each["status"] for each in health["services"]}
    assert {name: lines[name] for name in ("poller", "recoverer", "conditions", "worker", "scheduler")} == {
        "poller": "HEALTHY", "recoverer": "HEALTHY", "conditions": "HEALTHY", "worker": "HEALTHY",
        "scheduler": "HEALTHY",
    }  # fmt: skip
    assert health["stalled_services"] == []
    assert health["x_api_status"]["tweetLookup"] == {"tokens": 15, "capacity": 15}
