"""A breaker, driven through everything in any order, beside a plain account of what it may let through."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tempogram.engine.services.breaker import Breaker, BreakerRule, BreakerState
from tests.engine.brokers.machine import budget
from tests.fakes import Clock

RULES = (
    BreakerRule(failures=3, within_ms=1_000, open_ms=500, probes=1),
    BreakerRule(failures=2, within_ms=50, open_ms=1, probes=3),
    BreakerRule(failures=0, failure_rate=0.5, calls_min=4, within_ms=2_000, open_ms=700, probes=2),
    BreakerRule(failures=0, slow_ms=100, slow_rate=0.5, calls_min=2, within_ms=2_000, open_ms=700, probes=2),
)
picks = st.integers(0, 1_000)


class BreakerMachine(RuleBasedStateMachine):
    """Calls that fail, are slow, hang and come back, over terms of the breaker."""

    @initialize(rule=st.sampled_from(RULES))
    def begin(self, rule: BreakerRule) -> None:
        self.clock, self.rule = Clock(), rule
        self.breaker = Breaker(rule, clock=self.clock)
        self.under_way: list[tuple[int, bool]] = []  # their terms, and whether each is a probe
        self.failed_ms: list[int] = []  # when calls of this term failed
        self.open_until_ms = 0
        self.is_forced = False
        self.outdated: set[int] = set()  # terms that are over

    @rule(calls=st.integers(1, 5))
    def ask(self, calls: int) -> None:
        for _ in range(calls):
            was = self.breaker.state
            term = self.breaker.ask()
            assert not (term and was is BreakerState.OPEN), "an open breaker lets nothing through"
            assert term or was is not BreakerState.CLOSED, "a closed breaker lets everything through"
            if term:
                self.under_way.append((term, was is BreakerState.HALF_OPEN))

    @rule(pick=picks, is_failure=st.booleans(), took_ms=st.sampled_from((1, 101)))
    def end(self, pick: int, is_failure: bool, took_ms: int) -> None:  # noqa: FBT001 - Hypothesis names it
        if not self.under_way:
            return
        term, is_probe = self.under_way.pop(pick % len(self.under_way))
        was = self.breaker.state
        has_opened = self.breaker.end(term, is_failure=is_failure, took_ms=took_ms)
        if has_opened:
            assert was is not BreakerState.OPEN, "a call of before does not open it again"
            assert is_failure or (self.rule.slow_rate and took_ms > self.rule.slow_ms)
            self._opened(self.clock() + self.rule.open_ms)
        is_outdated = term in self.outdated
        if was is BreakerState.CLOSED and is_failure and not (has_opened or is_outdated) and self.rule.failures:
            assert not is_probe
            self.failed_ms.append(self.clock())
        if was is BreakerState.HALF_OPEN and self.breaker.state is BreakerState.CLOSED:
            assert is_probe, "only a probe closes it"
            assert not is_failure
            self._begin_term()

    @rule(pick=picks)
    def give_back(self, pick: int) -> None:
        if self.under_way:
            term, _ = self.under_way.pop(pick % len(self.under_way))
            self.breaker.give_back(term)

    @rule(in_ms=st.sampled_from((1, 400, 5_000)))
    def others_agree(self, in_ms: int) -> None:
        self.breaker.open_until(self.clock() + in_ms)
        self._opened(self.clock() + in_ms)

    @rule(is_open=st.booleans())
    def force(self, is_open: bool) -> None:  # noqa: FBT001 - Hypothesis names it
        self.breaker.force(is_open=is_open)
        self.is_forced = is_open
        self._begin_term()
        if not is_open:
            self.open_until_ms = 0
            assert self.breaker.state is BreakerState.CLOSED

    @rule(ms=st.sampled_from((1, 49, 500, 1_000)))
    def advance(self, ms: int) -> None:
        self.clock.advance(ms)

    @invariant()
    def no_more_probes_than_its_rule_says_are_under_way(self) -> None:
        if hasattr(self, "breaker") and self.breaker.state is BreakerState.HALF_OPEN:
            terms = [term for term, is_probe in self.under_way if is_probe]
            assert terms.count(max(terms, default=0)) <= self.rule.probes

    @invariant()
    def it_stays_open_for_as_long_as_was_said(self) -> None:
        if hasattr(self, "breaker") and (self.is_forced or self.clock() < self.open_until_ms):
            assert self.breaker.state is BreakerState.OPEN

    @invariant()
    def enough_failures_have_opened_it(self) -> None:
        if hasattr(self, "breaker") and self.rule.failures:
            recent = [at_ms for at_ms in self.failed_ms if at_ms > self.clock() - self.rule.within_ms]
            assert len(recent) < self.rule.failures

    def _opened(self, until_ms: int) -> None:
        self.open_until_ms = max(self.open_until_ms, until_ms)
        self._begin_term()

    def _begin_term(self) -> None:
        self.failed_ms.clear()
        self.outdated |= {term for term, _ in self.under_way}


TestABreakerBesideAPlainAccount = BreakerMachine.TestCase
TestABreakerBesideAPlainAccount.settings = budget(150)
