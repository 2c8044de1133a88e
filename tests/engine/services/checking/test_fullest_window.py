from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.services.checking.fullest_window import FullestWindow

CALLS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300)), max_size=40)
"""Beginnings and durations, in hundredths of a second."""


@given(CALLS, st.integers(10, 200))
def test_no_window_has_more_calls_in_it_from_beginning_to_end(calls: list[tuple[int, int]], length: int) -> None:
    window = FullestWindow(length / 100)
    ended = sorted((began + took, began) for began, took in calls)

    for end, began in ended:
        window.add(began / 100, end / 100)

    inside = [sum(last - length < began and end <= last for end, began in ended) for last, _ in ended]
    assert window.most == max(inside, default=0)


def test_calls_a_whole_window_apart_are_in_two_windows() -> None:
    window = FullestWindow(1.0)

    for at_s in (0.1 + 0.2, 1.3, 2.2999):
        window.add(at_s, at_s)

    assert window.most == 1


def test_calls_that_were_sent_at_once_and_answered_one_by_one_break_nothing() -> None:
    window = FullestWindow(1.0)

    for answered_s in range(1, 6):
        window.add(0.0, float(answered_s))

    assert window.most <= 1
