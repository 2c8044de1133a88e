"""When calls to a host that fails stop, and when it is tried again."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tempogram.engine.resilience.circuit_breaker import (
    CALLS_MIN,
    OPEN_MS_MAX,
    OPEN_MS_MIN,
    WINDOW_MS,
    CircuitBreaker,
    Permit,
    State,
)
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.fakes import Clock


@pytest.fixture
def conditions(clock: Clock) -> Conditions:
    return Conditions(clock)


@pytest.fixture
def breaker(clock: Clock, conditions: Conditions) -> CircuitBreaker:
    return CircuitBreaker("api.test", clock=clock, conditions=conditions)


def call(breaker: CircuitBreaker, *, is_alive: bool | None, times: int = 1) -> None:
    for _ in range(times):
        breaker.end(breaker.ask(1), is_alive=is_alive)


def test_as_many_calls_are_permitted_as_are_asked_for_while_the_host_answers(breaker: CircuitBreaker) -> None:
    call(breaker, is_alive=True, times=50)

    assert breaker.ask(100).calls == 100
    assert breaker.state is State.CLOSED


def test_a_few_failures_do_not_open_the_breaker(breaker: CircuitBreaker) -> None:
    call(breaker, is_alive=False, times=CALLS_MIN - 1)

    assert breaker.state is State.CLOSED


def test_half_of_the_calls_may_fail_and_not_one_more(breaker: CircuitBreaker) -> None:
    for is_alive in (True, False) * 5:
        call(breaker, is_alive=is_alive)
    before = breaker.state

    call(breaker, is_alive=False)

    assert (before, breaker.state) == (State.CLOSED, State.OPEN)


def test_calls_before_the_window_are_forgotten(breaker: CircuitBreaker, clock: Clock) -> None:
    call(breaker, is_alive=False, times=CALLS_MIN - 1)
    clock.advance(WINDOW_MS)

    call(breaker, is_alive=False)

    assert breaker.state is State.CLOSED


def test_an_open_breaker_permits_nothing_and_says_when_it_will(
    breaker: CircuitBreaker, clock: Clock, conditions: Conditions
) -> None:
    call(breaker, is_alive=False, times=CALLS_MIN)

    permit = breaker.ask(5)

    assert (permit.calls, permit.again_at_ms) == (0, clock() + OPEN_MS_MIN)
    assert conditions.current == [Condition.TELEGRAM_AWAY]


def test_one_trial_is_made_after_its_time_and_its_success_closes_the_breaker(
    breaker: CircuitBreaker, clock: Clock, conditions: Conditions
) -> None:
    call(breaker, is_alive=False, times=CALLS_MIN)
    clock.advance(OPEN_MS_MIN)
    trial, beside_it = breaker.ask(5), breaker.ask(5)

    breaker.end(trial, is_alive=True)

    assert (trial.calls, beside_it.calls) == (1, 0)
    assert breaker.ask(5).calls == 5
    assert conditions.current == []


def test_after_each_trial_that_fails_it_waits_twice_as_long_up_to_a_limit(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    call(breaker, is_alive=False, times=CALLS_MIN)
    waits = []
    for _ in range(7):
        again_at_ms = breaker.ask(1).again_at_ms
        assert again_at_ms is not None
        waits.append(again_at_ms - clock())
        clock.advance(waits[-1])
        call(breaker, is_alive=False)

    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, OPEN_MS_MAX, OPEN_MS_MAX]


def test_a_trial_that_was_not_made_may_be_made_by_the_next(breaker: CircuitBreaker, clock: Clock) -> None:
    call(breaker, is_alive=False, times=CALLS_MIN)
    clock.advance(OPEN_MS_MIN)

    breaker.end(breaker.ask(1), is_alive=None)

    assert breaker.ask(1).calls == 1


def test_a_call_that_began_before_it_opened_is_no_trial(breaker: CircuitBreaker, clock: Clock) -> None:
    old = breaker.ask(20)
    call(breaker, is_alive=False, times=CALLS_MIN)
    clock.advance(OPEN_MS_MIN)
    breaker.ask(1)

    breaker.end(old, is_alive=True)

    assert breaker.state is State.HALF_OPEN
    assert breaker.ask(1).calls == 0


class BreakerMachine(RuleBasedStateMachine):
    """Calls in any number and order, and time that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker("api.test", clock=self.clock, conditions=Conditions(self.clock))
        self.turns = 0  # how often it opened or closed
        self.calls: list[tuple[Permit, int, bool]] = []  # under way: since which turn, and whether it is a trial
        self.ended: list[tuple[int, bool]] = []  # since it closed last: when, and whether the host answered

    @rule(ms=st.integers(0, OPEN_MS_MAX))
    def wait(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule(count=st.integers(0, 12))
    def begin(self, count: int) -> None:
        state = self.breaker.state
        permit = self.breaker.ask(count)
        assert permit.calls in {State.CLOSED: {count}, State.OPEN: {0}, State.HALF_OPEN: {0, min(count, 1)}}[state]
        self.calls += [(permit, self.turns, state is State.HALF_OPEN)] * permit.calls

    @precondition(lambda self: self.calls)
    @rule(pick=st.integers(0, 1_000), is_alive=st.sampled_from((True, False, False, None)))
    def end(self, pick: int, is_alive: bool | None) -> None:  # noqa: FBT001 - hypothesis names it
        permit, since, is_trial = self.calls.pop(pick % len(self.calls))
        before = self.breaker.state
        self.breaker.end(permit, is_alive=is_alive)
        after = self.breaker.state
        if is_trial:
            assert after is {True: State.CLOSED, False: State.OPEN, None: State.HALF_OPEN}[is_alive]
            self.turns += is_alive is not None
            self.ended.clear()
        elif since == self.turns and is_alive is not None:
            self.ended.append((self.clock(), is_alive))
            assert (after is State.OPEN) == self._is_evident()
            self.turns += after is State.OPEN
        else:
            assert after is before

    def _is_evident(self) -> bool:
        recent = [is_alive for at_ms, is_alive in self.ended if at_ms > self.clock() - WINDOW_MS]
        return len(recent) >= CALLS_MIN and 2 * recent.count(False) > len(recent)

    @invariant()
    def there_is_one_trial_at_most(self) -> None:
        assert sum(is_trial for _, _, is_trial in self.calls) <= 1


TestBreakerMachine = BreakerMachine.TestCase
