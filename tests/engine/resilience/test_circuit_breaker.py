"""When a host counts as away, and when it is tried."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tempogram.engine.limits.failing import FAILING_AFTER_MS
from tempogram.engine.resilience.circuit_breaker import FAILURES_MIN, TRIAL_MS, WINDOW_MS, CircuitBreaker, Permit
from tempogram.engine.resilience.conditions import Condition, Conditions
from tests.fakes import Clock

BOTS = (1, 2, 3)

LATELY_MS = 1 << 60
"""When calls began that began after every success."""


@pytest.fixture
def conditions(clock: Clock) -> Conditions:
    return Conditions(clock)


@pytest.fixture
def breaker(clock: Clock, conditions: Conditions) -> CircuitBreaker:
    return CircuitBreaker("api.test", clock=clock, conditions=conditions)


def call(breaker: CircuitBreaker, bot_id: int, chat_id: int = 7, *, is_alive: bool | None, times: int = 1) -> None:
    for _ in range(times):
        breaker.end(Permit(1, LATELY_MS), bot_id, chat_id, is_alive=is_alive)


def open_(breaker: CircuitBreaker) -> None:
    for number in range(FAILURES_MIN):
        call(breaker, number, is_alive=False)


def test_as_many_calls_are_permitted_as_are_asked_for_while_the_host_answers(breaker: CircuitBreaker) -> None:
    call(breaker, 1, is_alive=True, times=50)

    assert breaker.ask(100).calls == 100
    assert not breaker.is_open


def test_a_few_failures_do_not_open_the_breaker(breaker: CircuitBreaker) -> None:
    for number in range(FAILURES_MIN - 1):
        call(breaker, number, is_alive=False)

    assert not breaker.is_open


def test_a_host_is_away_when_the_calls_of_two_bots_fail(breaker: CircuitBreaker, conditions: Conditions) -> None:
    call(breaker, 1, is_alive=False, times=FAILURES_MIN - 1)

    call(breaker, 2, is_alive=False)

    assert breaker.is_open
    assert conditions.current == [Condition.TELEGRAM_AWAY]


def test_one_bot_whose_calls_fail_does_not_take_the_host_away_from_others(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for second in range(60):
        if second % 8 == 0:
            call(breaker, 2, is_alive=True)
        for chat_id in range(10):
            call(breaker, 1, chat_id, is_alive=False)
        clock.advance(1_000)

        assert not breaker.is_open


def test_of_one_bot_alone_two_chats_must_fail_for_a_while(breaker: CircuitBreaker, clock: Clock) -> None:
    call(breaker, 1, 7, is_alive=False, times=2 * FAILURES_MIN)
    call(breaker, 1, 8, is_alive=False)
    too_early = breaker.is_open
    clock.advance(FAILING_AFTER_MS)

    call(breaker, 1, 8, is_alive=False)

    assert (too_early, breaker.is_open) == (False, True)


def test_a_failure_tells_nothing_of_a_bot_once_distinct_bots_agree(breaker: CircuitBreaker, clock: Clock) -> None:
    for chat_id in range(FAILURES_MIN):
        call(breaker, 1, chat_id, is_alive=False)
    clock.advance(FAILING_AFTER_MS)
    call(breaker, 1, is_alive=False)
    of_one_bot = breaker.is_open, breaker.is_agreed

    call(breaker, 2, is_alive=False)
    of_two = breaker.is_open, breaker.is_agreed
    call(breaker, 3, is_alive=True)

    assert (of_one_bot, of_two) == ((True, False), (True, True))
    assert not breaker.is_agreed


def test_of_one_bot_alone_one_chat_that_fails_is_no_evidence(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(60):
        call(breaker, 1, 7, is_alive=False, times=FAILURES_MIN)
        clock.advance(1_000)

    assert not breaker.is_open


def test_a_success_ends_what_failures_before_it_tell(breaker: CircuitBreaker) -> None:
    for _ in range(10):
        for number in range(FAILURES_MIN - 1):
            call(breaker, number, is_alive=False)
        call(breaker, 1, is_alive=True)

    assert not breaker.is_open


def test_bots_whose_calls_hang_and_end_together_do_not_take_the_host_away_from_others(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    hanging = breaker.ask(4 * FAILURES_MIN)
    clock.advance(20_000)
    call(breaker, 9, is_alive=True)
    clock.advance(1)

    for number in range(4 * FAILURES_MIN):
        breaker.end(hanging, number % 4, number, is_alive=False)

    assert not breaker.is_open


def test_calls_that_hang_after_the_last_success_show_that_the_host_is_away(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    call(breaker, 9, is_alive=True)
    hanging = breaker.ask(FAILURES_MIN)
    clock.advance(20_000)

    for number in range(FAILURES_MIN):
        breaker.end(hanging, number % 4, number, is_alive=False)

    assert breaker.is_open


def test_failures_before_the_window_are_forgotten(breaker: CircuitBreaker, clock: Clock) -> None:
    for number in range(FAILURES_MIN - 1):
        call(breaker, number, is_alive=False)
    clock.advance(WINDOW_MS)

    call(breaker, 1, is_alive=False)

    assert not breaker.is_open


def test_an_open_breaker_permits_one_call_and_says_when_it_permits_more(breaker: CircuitBreaker, clock: Clock) -> None:
    open_(breaker)

    first, second = breaker.ask(5), breaker.ask(5)

    assert (first.calls, second.calls, second.again_at_ms) == (1, 0, clock() + TRIAL_MS)


def test_there_is_one_trial_a_second_whatever_becomes_of_the_last(breaker: CircuitBreaker, clock: Clock) -> None:
    open_(breaker)
    permitted = []
    for _ in range(40):
        clock.advance(TRIAL_MS // 4)
        permitted.append(breaker.ask(5).calls)

    assert permitted == [1, 0, 0, 0] * 10


def test_any_success_closes_it_though_its_call_began_before_it_opened(
    breaker: CircuitBreaker, conditions: Conditions
) -> None:
    old = breaker.ask(1)
    open_(breaker)

    breaker.end(old, 3, 7, is_alive=True)

    assert breaker.ask(5).calls == 5
    assert conditions.current == []


def test_a_trial_of_which_nothing_came_may_be_made_by_the_next(breaker: CircuitBreaker, clock: Clock) -> None:
    open_(breaker)
    clock.advance(TRIAL_MS)
    breaker.give_back(breaker.ask(1))

    trial = breaker.ask(1)
    breaker.end(trial, 1, 7, is_alive=None)

    assert trial.calls == 1
    assert breaker.ask(1).calls == 1


def test_a_trial_that_is_given_back_late_gives_none_beside_a_newer_one(breaker: CircuitBreaker, clock: Clock) -> None:
    open_(breaker)
    clock.advance(TRIAL_MS)
    late = breaker.ask(1)
    clock.advance(TRIAL_MS)
    newer = breaker.ask(1)

    breaker.give_back(late)

    assert newer.calls == 1
    assert breaker.ask(1).calls == 0


class BreakerMachine(RuleBasedStateMachine):
    """Calls of some bots in any order, and time that passes, beside the rule once more, with lists that are scanned."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker("api.test", clock=self.clock, conditions=Conditions(self.clock))
        self.calls: list[tuple[int, int]] = []  # when each ended, and its bot
        self.failures: list[tuple[int, int, int]] = []  # since the last success: when, bot, chat
        self.trials: list[int] = []
        self.is_away = False

    @rule(ms=st.sampled_from((1, 100, 700, 2_000, WINDOW_MS)))
    def wait(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule(
        bot_id=st.sampled_from(BOTS),
        chat_id=st.integers(1, 3),
        is_alive=st.sampled_from((False, False, False, False, None, True)),
        times=st.integers(1, 6),
    )
    def end(self, bot_id: int, chat_id: int, is_alive: bool | None, times: int) -> None:  # noqa: FBT001
        for _ in range(times):
            self.breaker.end(Permit(1, LATELY_MS), bot_id, chat_id, is_alive=is_alive)
            if is_alive is not None:
                self.calls.append((self.clock(), bot_id))
            if is_alive:
                self.failures, self.is_away = [], False
            elif is_alive is False and not self.is_away:
                self.failures.append((self.clock(), bot_id, chat_id))
                self.is_away = self._is_evident()

    @precondition(lambda self: self.is_away)
    @rule(is_used=st.booleans())
    def try_it(self, is_used: bool) -> None:  # noqa: FBT001
        permit = self.breaker.ask(3)
        assert permit.calls in {0, 1}
        if permit.calls and is_used:
            self.trials.append(self.clock())
        elif permit.calls:
            self.breaker.give_back(permit)

    @invariant()
    def it_is_open_while_the_host_is_away(self) -> None:
        assert self.breaker.is_open == self.is_away
        assert all(later - earlier >= TRIAL_MS for earlier, later in zip(self.trials, self.trials[1:], strict=False))

    def _is_evident(self) -> bool:
        since_ms = self.clock() - WINDOW_MS
        recent = [failure for failure in self.failures if failure[0] > since_ms]
        bots = {bot_id for _, bot_id, _ in recent}
        if len(recent) < FAILURES_MIN:
            return False
        if len({bot_id for at_ms, bot_id in self.calls if at_ms > since_ms}) > 1:
            return len(bots) > 1
        is_long = self.clock() - self.failures[0][0] >= FAILING_AFTER_MS
        return is_long and len({(bot_id, chat_id) for _, bot_id, chat_id in recent}) > 1


TestBreakerMachine = BreakerMachine.TestCase
