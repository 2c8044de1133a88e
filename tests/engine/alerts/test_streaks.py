from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.alerts.streaks import Streaks
from tempogram.engine.ports.alert_store import Finding
from tests.engine.alerts.values import alert

AWAY = Finding("redis_away", "", "Redis is away")
STALLED = Finding("task_stalled", "poll", "task poll is stalled")


def test_what_comes_and_goes_begins_after_so_many_checks_in_a_row() -> None:
    streaks = Streaks(3)
    seen = [[AWAY], [AWAY], [], [AWAY], [AWAY], [AWAY]]

    assert [list(streaks.judge(found, [], set()).begins) for found in seen] == [[], [], [], [], [], [AWAY]]


def test_what_is_sure_begins_and_ends_with_one_check() -> None:
    streaks = Streaks(3)
    stalled = alert("a", key="poll")

    assert streaks.judge([STALLED], [], set()).begins == [STALLED]
    assert streaks.judge([], [stalled], set()).ends == [stalled]


def test_what_comes_and_goes_ends_after_so_many_checks_without_it() -> None:
    streaks = Streaks(2)
    away = alert("a", kind="redis_away", key="")
    seen = [[], [AWAY], [], []]

    assert [list(streaks.judge(found, [away], set()).ends) for found in seen] == [[], [], [], [away]]


def test_nothing_of_an_unknown_kind_begins_ends_or_is_forgotten() -> None:
    streaks = Streaks(2)
    stalled = alert("a", key="poll")
    streaks.judge([AWAY], [], set())

    judged = streaks.judge([], [stalled], {"task_stalled", "redis_away"})

    assert (judged.begins, judged.ends) == ([], [])
    assert streaks.judge([AWAY], [stalled], {"task_stalled"}).begins == [AWAY]


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=40))
def test_an_alert_opens_and_ends_only_after_a_whole_streak(after: int, seen: list[bool]) -> None:
    streaks, opened = Streaks(after), False
    for index, is_found in enumerate(seen):
        judged = streaks.judge([AWAY] * is_found, [alert("a", kind="redis_away", key="")] * opened, set())
        if judged.begins or judged.ends:
            assert seen[index + 1 - after : index + 1] == [not opened] * after
            opened = not opened
