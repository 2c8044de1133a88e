"""A result counts from the planned instants, and knows what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.load.plan import PlannedUpdate
from bench.load.result import Result, result_of
from tempogram.simulator.report import report_of
from tempogram.simulator.server.telegram import Telegram
from tempogram.simulator.settings import SimulatorSettings

BEGAN_MS = 50_000.0


def planned(number: int, due_ms: float, *, is_addressed: bool = False) -> PlannedUpdate:
    return PlannedUpdate(number, due_ms, 1, chat_id=7, user_id=7, is_addressed=is_addressed)


def arrival(text: str, at_ms: float, *, code: int = 200) -> dict[str, Any]:
    return {"bot_id": 1, "chat_id": 7, "text": text, "at_ms": at_ms, "code": code, "cost": 1}


def result(updates: Sequence[PlannedUpdate], calls: Sequence[Mapping[str, Any]]) -> Result:
    telegram = Telegram(SimulatorSettings())
    report = report_of(telegram.record, telegram.windows, telegram.faults, updates_pending=0)
    return result_of(updates, [], calls, report, began_ms=BEGAN_MS, username=lambda bot_id: f"bot_{bot_id}")


def test_an_answer_is_counted_from_the_planned_instant_of_its_update() -> None:
    done = result([planned(0, 1_000.0)], [arrival("question 0", BEGAN_MS + 1_250.0)])

    assert done.after_ms() == [250.0]
    assert done.last_ms == 1_250.0


def test_high_and_normal_are_counted_apart() -> None:
    updates = [planned(0, 0.0), planned(1, 0.0, is_addressed=True), planned(2, 0.0, is_addressed=True)]
    calls = [
        arrival("question 0", BEGAN_MS + 30.0),
        arrival("question 1", BEGAN_MS + 10.0),
        arrival("@bot_1 question 2", BEGAN_MS + 20.0),
    ]

    done = result(updates, calls)

    assert done.after_ms(is_addressed=True) == [10.0, 20.0]
    assert done.after_ms(is_addressed=False) == [30.0]


def test_an_update_whose_answer_was_refused_is_lost() -> None:
    done = result([planned(0, 0.0), planned(1, 0.0)], [arrival("question 0", BEGAN_MS, code=429)])

    assert [update.number for update in done.lost] == [0, 1]
    assert done.answered == []


def test_an_answer_that_comes_again_is_a_duplicate_and_its_first_arrival_counts() -> None:
    done = result([planned(0, 0.0)], [arrival("question 0", BEGAN_MS + 5.0), arrival("question 0", BEGAN_MS + 900.0)])

    assert done.duplicates == 1
    assert done.after_ms() == [5.0]


def test_an_answer_to_nothing_is_noticed() -> None:
    assert result([], [arrival("question 9", BEGAN_MS)]).unasked == 1
