"""Stops the calls of one process to an operation that fails, and lets a bounded number try whether it is well again.

The breaker of the host of the Bot API (``resilience/circuit_breaker``) judges bots and chats, and trials each second;
this one judges one operation by a rule of its service.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import SettingsError

BACK_OFF_RATE = 0.1
"""From this share of failures on, calls are spaced out, before the breaker opens."""

BACK_OFF_CALLS_MIN = 10
"""With fewer calls in the window there is no rate. untuned: one failure of five says little."""

BACK_OFF_MS_MAX = 5_000

BREAKER_MAX = 86_400_000
"""The largest number in a rule; in milliseconds it is a day."""


class BreakerState(StrEnum):
    """As the metrics and ``GET /services`` show it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """When a breaker opens, and for how long.

    Attributes:
        failures: So many in ``within_ms`` open it; 0: it never opens by their number.
        within_ms: How far back calls are counted, in milliseconds.
        open_ms: How long it stays open before probes may be made.
        failure_rate: Share of failures among at least ``calls_min`` that opens it; 0: it never opens by a rate.
        slow_ms: A call that takes longer is slow; 0: none is.
        slow_rate: Share of slow calls among at least ``calls_min`` that opens it; 0: they do not.
        calls_min: Calls without which there is no rate.
        probes: Calls at once while it is half open, and successes that close it.
    """

    failures: int = 5
    within_ms: int = 30_000
    open_ms: int = 60_000
    failure_rate: float = 0.0
    slow_ms: int = 0
    slow_rate: float = 0.0
    calls_min: int = 10
    probes: int = 1

    def __post_init__(self) -> None:
        for name, least in (
            ("failures", 0), ("within_ms", 1), ("open_ms", 1), ("slow_ms", 0), ("calls_min", 1), ("probes", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= BREAKER_MAX:
                raise SettingsError(
                    f"{name} of a breaker is {value!r}; it must be a whole number from {least} to {BREAKER_MAX:,}"
                )
        for name in ("failure_rate", "slow_rate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise SettingsError(f"{name} of a breaker is {value!r}; it must be a number from 0 to 1")


class Breaker:
    """One for each operation, in each process.

    closed ──enough failures, or slow calls──> open ──``open_ms`` later──> half open
    half open ──``probes`` succeed──> closed;  ──one fails, or is slow where slow calls open it──> open

    Each of these begins a new term. A call that began in an earlier one says nothing of this one: what was under way
    when it opened neither keeps it open nor counts as a probe.
    """

    def __init__(self, rule: BreakerRule, *, clock: Clock) -> None:
        self.rule = rule
        self._clock = clock
        self._ended: deque[tuple[int, bool, bool]] = deque()  # when a call ended, whether it failed, and was slow
        self._failed = self._slow = 0
        self._open_until_ms = 0
        self._probing = 0
        self._probed = 0
        self._is_half_open = False
        self._is_forced = False
        self._term = 1

    @property
    def state(self) -> BreakerState:
        if self._is_forced or self._clock() < self._open_until_ms:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN if self._open_until_ms or self._is_half_open else BreakerState.CLOSED

    @property
    def open_until_ms(self) -> int:
        return self._open_until_ms

    @property
    def is_forced(self) -> bool:
        """Tell whether it was opened by hand."""
        return self._is_forced

    def ask(self) -> int:
        """Return the term in which a call may begin, with which ``end`` or ``give_back`` must follow; 0: it may not."""
        if not self._open_until_ms and not self._is_forced:
            return self._term
        if self._is_forced or self._clock() < self._open_until_ms or self._probing >= self.rule.probes:
            return 0
        self._is_half_open = True
        self._probing += 1
        return self._term

    def give_back(self, term: int) -> None:
        """Take back a call that was not made, or says nothing of the service."""
        if term == self._term:
            self._probing -= self._probing > 0

    def end(self, term: int, *, is_failure: bool, took_ms: int) -> bool:
        """Count a call that was made; return whether it opened the breaker."""
        if term != self._term:
            return False
        is_slow = bool(self.rule.slow_ms) and took_ms > self.rule.slow_ms
        if self._open_until_ms:
            return self._end_probe(is_failure=is_failure or (is_slow and self.rule.slow_rate > 0))
        now_ms = self._clock()
        self._ended.append((now_ms, is_failure, is_slow))
        self._failed += is_failure
        self._slow += is_slow
        self._forget(now_ms)
        if self._is_over():
            self.open_until(now_ms + self.rule.open_ms)
            return True
        return False

    def open_until(self, at_ms: int) -> None:
        """Open it, at most one way: a later time wins."""
        self._begin_term(max(self._open_until_ms, at_ms))

    def force(self, *, is_open: bool) -> None:
        """Open it by hand until it is closed by hand."""
        self._is_forced = is_open
        self._begin_term(self._open_until_ms if is_open else 0)

    def back_off_ms(self) -> int:
        """Return how far apart calls should begin, for the share of failures among the last calls."""
        calls = len(self._ended)
        if calls < BACK_OFF_CALLS_MIN or self._failed <= BACK_OFF_RATE * calls:
            return 0
        return min(BACK_OFF_MS_MAX, int(BACK_OFF_MS_MAX * self._failed / calls))

    def _end_probe(self, *, is_failure: bool) -> bool:
        self.give_back(self._term)  # a probe whose answer broke off while it was read ends twice
        if is_failure:
            self.open_until(self._clock() + self.rule.open_ms)
            return True
        self._probed += 1
        if self._probed >= self.rule.probes:
            self._begin_term(0)
        return False

    def _begin_term(self, open_until_ms: int) -> None:
        self._term += 1
        self._open_until_ms, self._is_half_open, self._probing, self._probed = open_until_ms, False, 0, 0
        self._ended.clear()
        self._failed = self._slow = 0

    def _is_over(self) -> bool:
        rule, calls = self.rule, len(self._ended)
        if rule.failures and self._failed >= rule.failures:
            return True
        if calls < rule.calls_min:
            return False
        return bool(
            (rule.failure_rate and self._failed >= rule.failure_rate * calls)
            or (rule.slow_rate and self._slow >= rule.slow_rate * calls)
        )

    def _forget(self, now_ms: int) -> None:
        while self._ended and self._ended[0][0] <= now_ms - self.rule.within_ms:
            _, failed, slow = self._ended.popleft()
            self._failed -= failed
            self._slow -= slow
