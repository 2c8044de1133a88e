from __future__ import annotations

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.breaker import Breaker, BreakerRule, BreakerState
from tests.fakes import Clock

BY_COUNT = BreakerRule()
BY_RATE = BreakerRule(failures=0, failure_rate=0.5, calls_min=10, within_ms=10_000, slow_ms=100, slow_rate=0.8)


def state_of(breaker: Breaker) -> BreakerState:
    """Return its state anew: a type checker takes a property for a value that stays."""
    return breaker.state


def end(breaker: Breaker, times: int = 1, *, fails: bool = True, took_ms: int = 1) -> None:
    for _ in range(times):
        term = breaker.ask()
        assert term
        breaker.end(term, is_failure=fails, took_ms=took_ms)


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(BY_COUNT, clock=clock)


def test_five_failures_within_half_a_minute_open_it_for_a_minute(breaker: Breaker, clock: Clock) -> None:
    end(breaker, 5)

    assert not breaker.ask()
    clock.advance(59_999)
    assert not breaker.ask()
    clock.advance(1)
    assert breaker.ask()


def test_failures_that_lie_apart_do_not_open_it(breaker: Breaker, clock: Clock) -> None:
    for _ in range(20):
        end(breaker, 1)
        clock.advance(7_501)

    assert breaker.state is BreakerState.CLOSED


def test_half_open_it_lets_as_many_probes_through_as_its_rule_says(clock: Clock) -> None:
    breaker = Breaker(BreakerRule(probes=2), clock=clock)
    end(breaker, 5)
    clock.advance(60_000)

    assert [bool(breaker.ask()) for _ in range(4)] == [True, True, False, False]
    assert breaker.state is BreakerState.HALF_OPEN


def test_probes_that_succeed_close_it(breaker: Breaker, clock: Clock) -> None:
    end(breaker, 5)
    clock.advance(60_000)

    end(breaker, 1, fails=False)

    assert breaker.state is BreakerState.CLOSED
    end(breaker, 4)
    assert breaker.state is BreakerState.CLOSED, "the failures of before count no more"


def test_a_probe_that_fails_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    end(breaker, 5)
    clock.advance(60_000)

    end(breaker, 1)

    assert breaker.state is BreakerState.OPEN


def test_a_probe_that_was_not_made_gives_its_place_back(breaker: Breaker, clock: Clock) -> None:
    end(breaker, 5)
    clock.advance(60_000)
    term = breaker.ask()
    assert not breaker.ask()

    breaker.give_back(term)

    assert breaker.ask()


def test_failures_of_calls_that_were_under_way_when_it_opened_do_not_keep_it_open(
    breaker: Breaker, clock: Clock
) -> None:
    late = [breaker.ask() for _ in range(10)]
    end(breaker, 5)

    clock.advance(59_000)
    opened = [breaker.end(term, is_failure=True, took_ms=59_000) for term in late]

    assert not any(opened)
    clock.advance(1_000)
    assert breaker.ask()


def test_a_call_that_was_under_way_when_it_opened_is_no_probe(breaker: Breaker, clock: Clock) -> None:
    late, other = breaker.ask(), breaker.ask()
    end(breaker, 5)
    clock.advance(60_000)
    assert breaker.ask()

    breaker.end(late, is_failure=False, took_ms=60_000)
    breaker.give_back(other)

    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.ask(), "its one probe is under way"


def test_a_rate_of_failures_opens_it_only_with_enough_calls(clock: Clock) -> None:
    breaker = Breaker(BY_RATE, clock=clock)
    end(breaker, 9)
    assert state_of(breaker) is BreakerState.CLOSED

    end(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN


def test_slow_calls_open_it_though_they_succeed(clock: Clock) -> None:
    breaker = Breaker(BY_RATE, clock=clock)
    end(breaker, 2, fails=False)

    end(breaker, 8, fails=False, took_ms=101)

    assert breaker.state is BreakerState.OPEN


def test_a_slow_probe_opens_it_again_where_slow_calls_open_it(clock: Clock) -> None:
    breaker = Breaker(BY_RATE, clock=clock)
    end(breaker, 10, fails=False, took_ms=101)
    clock.advance(60_000)

    end(breaker, 1, fails=False, took_ms=101)

    assert breaker.state is BreakerState.OPEN


def test_by_hand_it_stays_open_until_it_is_closed_by_hand(breaker: Breaker, clock: Clock) -> None:
    breaker.force(is_open=True)
    clock.advance(3_600_000)
    assert not breaker.ask()

    breaker.force(is_open=False)

    assert breaker.ask()
    assert breaker.state is BreakerState.CLOSED


def test_above_a_tenth_of_failures_calls_are_spaced_out(clock: Clock) -> None:
    breaker = Breaker(BreakerRule(failures=50), clock=clock)
    end(breaker, 18, fails=False)
    end(breaker, 2)
    assert breaker.back_off_ms() == 0

    end(breaker, 1)

    assert 0 < breaker.back_off_ms() <= 5_000


def test_a_rule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(SettingsError, match="failure_rate of a breaker is 2; it must be a number from 0 to 1"):
        BreakerRule(failure_rate=2)
