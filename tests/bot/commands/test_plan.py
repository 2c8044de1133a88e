"""``tempogram plan``, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.forked import type_in

MODULE = """
from aiogram import Router
from tempogram import every

router = Router()

@every("validateEntries", {validate}, uses={{"x:tweet_lookup": 1}})
async def validate() -> None: ...

@every("fastDeleteSweep", {sweep}, uses={{"{used}": 1}}, env="FAST_DELETE_SWEEP_INTERVAL")
async def sweep() -> None: ...
"""

EXCEEDED = (
    "EXCEEDED  x:tweet_lookup: 25 calls in 15 min, but 15 are allowed (validateEntries 15, fastDeleteSweep 10); "
    "120 s each fit, or 100 s and 150 s\n"
)
HOLDS = (
    "holds     x:tweet_lookup: 10 calls in 15 min of the 15 that are allowed (validateEntries 5, fastDeleteSweep 5)\n"
)


async def planned(
    directory: Path, validate: int, sweep: int, used: str = "x:tweet_lookup", **env: str
) -> tuple[int, str, str]:
    (directory / "contest.py").write_text(MODULE.format(validate=validate, sweep=sweep, used=used))
    return await type_in(directory, ["plan"], **{"BEHAVIOURS": "contest", **env})


async def test_the_tasks_of_the_mission_exceed_their_budget_and_fit_at_180_s(tmp_path: Path) -> None:
    assert await planned(tmp_path, 60, 90) == (1, EXCEEDED, "")
    assert await planned(tmp_path, 180, 180) == (0, HOLDS, "")


async def test_an_interval_of_the_environment_is_the_one_that_counts(tmp_path: Path) -> None:
    assert await planned(tmp_path, 180, 90, FAST_DELETE_SWEEP_INTERVAL="180000") == (0, HOLDS, "")


async def test_a_module_that_is_no_behaviour_is_planned_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(MODULE.format(validate=60, sweep=90, used="x:tweet_lookup"))

    assert await type_in(tmp_path, ["plan", "own"]) == (1, EXCEEDED, "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["plan", "nowhere"], "nowhere cannot be imported (ModuleNotFoundError: No module named 'nowhere')"),
        (["plan"], "No task is declared. Name its module in BEHAVIOURS, or behind plan."),
    ],
)
async def test_a_plan_without_tasks_says_what_to_do(tmp_path: Path, words: list[str], sentence: str) -> None:
    _, printed, errors = await type_in(tmp_path, words)

    assert sentence in printed + errors


async def test_a_task_that_uses_what_there_is_not_is_refused(tmp_path: Path) -> None:
    status, printed, errors = await planned(tmp_path, 60, 90, used="x:tweets")

    assert (status, printed) == (2, "")
    assert (
        "task fastDeleteSweep uses x:tweets, but x has no operation 'tweets'; it has mentions, tweet_lookup" in errors
    )


async def test_a_week_of_each_preset_of_watches_is_simulated_with_ones_own_numbers(tmp_path: Path) -> None:
    numbers = ["--items", "240", "--users", "5", "--budget", "100", "--json"]
    status, answer, _ = await type_in(tmp_path, ["plan", "watches", *numbers])

    found = {each["preset"]: each for each in json.loads(answer)}
    assert status == 0
    assert list(found) == [
        "spread, 24 slots",
        "spread, 6 slots",
        "viewed",
        "on demand",
        "priority",
        "by user, standard",
        "by user, free/paid",
    ]
    assert all(each["most_in_a_day"] <= 100 for each in found.values())
    assert found["spread, 24 slots"]["is_late"]


async def test_numbers_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    status, _, error = await type_in(tmp_path, ["plan", "watches", "--active", "70"])

    assert status == 2
    assert "--active is 70; it is a share, from 0 to 1" in error
