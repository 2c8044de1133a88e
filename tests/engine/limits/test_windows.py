"""A window and a bucket, each beside a slower account of what Telegram would say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.limits.limits import Limit
from tempogram.engine.limits.windows import Bucket, Window, gate

COUNT, WINDOW_MS, BURST = 3, 100, 2
calls = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 150), st.integers(0, 60)), min_size=1, max_size=30)
"""Cost, how long the one before lies back, and how long it takes until Telegram counts it."""


@given(calls=calls)
def test_no_window_of_telegrams_holds_more_than_the_limit(calls: list[tuple[int, int, int]]) -> None:
    window, counted, now_ms = Window(Limit(COUNT, WINDOW_MS)), [], 1_000
    for cost, pause_ms, latency_ms in calls:
        ready_at_ms = window.ready_at_ms(now_ms + pause_ms, cost)
        assert ready_at_ms is not None
        window.take(ready_at_ms, cost)
        now_ms = ready_at_ms + latency_ms
        window.settle(now_ms, cost)
        counted += [now_ms] * min(cost, COUNT)

    assert all(sum(since <= at <= since + WINDOW_MS for at in counted) <= COUNT for since in counted)


@given(counted=st.lists(st.integers(0, 300), max_size=12), cost=st.integers(1, 5), now_ms=st.integers(300, 500))
def test_a_window_is_ready_at_the_first_millisecond_at_which_there_is_room(
    counted: list[int], cost: int, now_ms: int
) -> None:
    window = Window(Limit(COUNT, WINDOW_MS))
    for at_ms in counted:
        window.take(at_ms, 1)
        window.settle(at_ms, 1)

    def has_room(at_ms: int) -> bool:
        return sum(since + 1 + WINDOW_MS > at_ms for since in counted) + min(cost, COUNT) <= COUNT

    assert window.ready_at_ms(now_ms, cost) == next(at for at in range(now_ms, 1_000) if has_room(at))


@given(calls=calls)
def test_a_window_with_a_burst_breaks_no_window_and_lets_no_more_than_the_burst_leave_at_once(
    calls: list[tuple[int, int, int]],
) -> None:
    paced, counted, now_ms = gate(Limit(COUNT, WINDOW_MS, burst=BURST)), [], 1_000
    assert paced is not None
    full_at = 0  # when the bucket is full again, in 1/COUNT ms
    for cost, pause_ms, latency_ms in calls:
        ready_at_ms = paced.ready_at_ms(now_ms + pause_ms, cost)
        assert ready_at_ms is not None
        paced.take(ready_at_ms, cost)
        assert full_at - ready_at_ms * COUNT <= (BURST - min(cost, BURST)) * WINDOW_MS
        full_at = max(full_at, ready_at_ms * COUNT) + cost * WINDOW_MS
        now_ms = ready_at_ms + latency_ms
        paced.settle(now_ms, cost)
        counted += [now_ms] * min(cost, COUNT)

    assert all(sum(since <= at <= since + WINDOW_MS for at in counted) <= COUNT for since in counted)


@given(calls=calls)
def test_a_bucket_of_telegrams_never_overflows(calls: list[tuple[int, int, int]]) -> None:
    """One call after the other, as for one chat."""
    limit = Limit(COUNT, WINDOW_MS, burst=BURST, leaks=True)
    bucket, now_ms, empty_at = Bucket(limit), 1_000, 0
    for cost, pause_ms, latency_ms in calls:
        ready_at_ms = bucket.ready_at_ms(now_ms + pause_ms, cost)
        assert ready_at_ms is not None
        bucket.take(ready_at_ms, cost)
        now_ms = ready_at_ms + latency_ms
        assert empty_at - now_ms * COUNT <= (BURST - min(cost, BURST)) * WINDOW_MS
        bucket.settle(now_ms, cost)
        empty_at = max(empty_at, now_ms * COUNT) + cost * WINDOW_MS


def test_a_bucket_counts_each_of_those_that_were_in_flight_together() -> None:
    bucket = Bucket(Limit(1, 1_000, burst=3, leaks=True))
    for _ in range(3):
        bucket.take(0, 1)

    for _ in range(3):
        bucket.settle(5_000, 1)

    assert bucket.ready_at_ms(5_001, 1) == 6_001


@pytest.mark.parametrize("limit", [Limit(2, 100), Limit(2, 100, burst=2, leaks=True)])
def test_what_never_left_leaves_no_trace(limit: Limit) -> None:
    mine = gate(limit)
    assert mine is not None
    mine.take(1_000, 2)
    mine.settle(None, 2)

    assert mine.ready_at_ms(1_000, 2) == 1_000
    assert mine.is_idle(1_000)


@pytest.mark.parametrize("limit", [Limit(2, 100), Limit(2, 100, burst=2, leaks=True)])
def test_what_costs_more_than_the_limit_leaves_when_nothing_is_taken(limit: Limit) -> None:
    mine = gate(limit)
    assert mine is not None
    mine.take(1_000, 1)
    mine.settle(1_000, 1)

    assert not mine.is_idle(1_000)
    ready_at_ms = mine.ready_at_ms(1_000, 99)
    assert ready_at_ms is not None
    assert mine.is_idle(ready_at_ms)
    assert not mine.is_idle(ready_at_ms - 1)


@pytest.mark.parametrize("limit", [Limit(2, 100), Limit(2, 100, burst=2, leaks=True)])
def test_a_guard_keeps_a_place_taken_for_longer(limit: Limit) -> None:
    plain, guarded = gate(limit), gate(limit)
    assert plain is not None
    assert guarded is not None
    for each, guard_ms in ((plain, 0), (guarded, 25)):
        each.take(1_000, 2)
        each.settle(1_000, 2, guard_ms=guard_ms)

    assert (plain.ready_at_ms(1_000, 2), guarded.ready_at_ms(1_000, 2)) == (1_101, 1_126)


def test_a_place_in_flight_is_not_free_at_any_time() -> None:
    window = Window(Limit(1, 100))
    window.take(0, 1)

    assert window.ready_at_ms(10_000, 1) is None


def test_a_window_is_near_its_limit_when_more_than_three_quarters_are_taken() -> None:
    window = Window(Limit(4, 100))
    window.take(0, 3)
    three = window.is_near(0)
    window.take(0, 1)
    four = window.is_near(0)
    window.settle(0, 4)

    assert (three, four, window.is_near(100), window.is_near(101)) == (False, True, True, False)


def test_a_window_under_another_name_adds_its_places() -> None:
    one, other = Window(Limit(3, 100)), Window(Limit(3, 100))
    for window, at_ms in ((one, 50), (other, 20)):
        window.take(at_ms, 1)
        window.settle(at_ms, 1)
    other.take(60, 1)

    one.absorb(other)

    assert one.ready_at_ms(60, 1) == 121
    assert one.ready_at_ms(60, 3) is None


def test_no_limit_is_no_gate() -> None:
    assert gate(None) is None
    assert gate(Limit(0, 1_000)) is None


def test_a_bucket_tells_when_what_is_settled_has_drained_enough_beside_what_is_in_flight() -> None:
    bucket = Bucket(Limit(1, 1_000, burst=3, leaks=True))
    for _ in range(2):
        bucket.take(0, 1)
    bucket.settle(0, 1)

    assert bucket.ready_at_ms(10, 1) == 10
    assert bucket.ready_at_ms(10, 2) == 1_001
    assert bucket.ready_at_ms(10, 3) is None


def test_a_bucket_under_another_name_adds_what_is_in_flight() -> None:
    one, other = Bucket(Limit(1, 1_000, burst=3, leaks=True)), Bucket(Limit(1, 1_000, burst=3, leaks=True))
    for bucket in (one, other):
        bucket.take(0, 1)

    one.absorb(other)

    assert one.ready_at_ms(0, 1) == 0
    assert one.ready_at_ms(0, 2) is None
