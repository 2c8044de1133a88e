from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tempogram.simulator.services.counts import Counted, Rule, least_apart_ms, most_in_window

TIMES = st.lists(st.integers(0, 5_000), max_size=60).map(sorted)


@given(TIMES)
def test_what_a_strict_server_lets_through_never_fills_a_window_more_than_its_limit(at_ms: list[int]) -> None:
    counted = Counted(Rule(name="shop", prefix="/", count=3, window_ms=1_000))
    let_through = []
    for at in at_ms:
        if counted.has_room(at, "us"):
            counted.use(at, 0)
            let_through.append(at)

    assert most_in_window(let_through, 1_000) <= 3
    assert len(let_through) + len(counted.refused) == len(at_ms)


@given(TIMES)
def test_a_strict_server_refuses_exactly_the_calls_that_come_too_near(at_ms: list[int]) -> None:
    counted = Counted(Rule(name="shop", prefix="/", apart_ms=100))

    welcome = [counted.arrive(at, "us") for at in at_ms]

    gap_ms = least_apart_ms(at_ms)
    assert all(welcome) == (gap_ms is None or gap_ms >= 100)


def test_a_strict_server_refuses_a_call_that_is_one_too_many_at_once() -> None:
    counted = Counted(Rule(name="shop", prefix="/", concurrency=1))

    first = counted.arrive(0, "us")
    counted.begin()
    second = counted.arrive(5, "us")
    counted.end(0, 9)
    third = counted.arrive(10, "us")

    assert (first, second, third) == (True, False, True)
    assert list(counted.refused) == [{"at_ms": 5, "client": "us", "why": "2 at once"}]


def test_the_call_that_crosses_a_limit_of_tokens_is_the_last_that_is_served() -> None:
    counted = Counted(Rule(name="model", prefix="/", count=100, window_ms=1_000, unit="tokens"))

    served = []
    for at_ms in (0, 10, 20, 1_000):
        served.append(counted.has_room(at_ms, "us"))
        if served[-1]:
            counted.use(at_ms, 60)

    assert (served, counted.most_taken) == ([True, True, False, True], 120)


def test_a_fixed_window_has_all_of_its_places_again_at_its_end() -> None:
    counted = Counted(Rule(name="shop", prefix="/", count=1, window_ms=1_000, is_fixed=True))

    counted.use(990, 0)

    assert (counted.has_room(999, "us"), counted.has_room(1_000, "us")) == (False, True)
