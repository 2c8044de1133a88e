"""Stops calls to one host after too many failures, but for one trial at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from tempogram.engine.model.clock import Clock
from tempogram.engine.resilience.conditions import Condition, Conditions

WINDOW_MS = 10_000
"""How far back calls are counted. untuned: long enough for ``CALLS_MIN`` of a busy host, short enough to open soon."""

CALLS_MIN = 10
"""Fewer calls in a window are no evidence. untuned: with fewer calls, little is sent in vain."""

OPEN_MS_MIN = 1_000
OPEN_MS_MAX = 30_000
"""How long it stays open: at first the shorter, then twice as long after each failed trial, up to the longer.

untuned: one trial costs one call, and 30 s is the longest that sending waits after the host is back.
"""


class State(Enum):
    """See ``CircuitBreaker``. While it is not closed, ``Condition.TELEGRAM_AWAY`` holds, and is shown."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


@dataclass(frozen=True, slots=True)
class Permit:
    """How many calls may begin.

    Attributes:
        period: Of the breaker; results of calls from an earlier period are not counted.
        again_at_ms: When it may permit more, if that is a matter of time.
    """

    calls: int
    period: int
    again_at_ms: int | None = None


class CircuitBreaker:
    """One for each host.

    closed ──more than half of the calls in a window failed──> open
    open ──its time is over──> half open
    half open ──the one trial succeeded──> closed
              ──it failed──> open, for twice as long
    """

    def __init__(self, host: str, *, clock: Clock, conditions: Conditions) -> None:
        self._host = host
        self._clock = clock
        self._conditions = conditions
        self._calls: deque[tuple[int, bool]] = deque()  # when each ended, and whether it failed; oldest first
        self._failed = 0
        self._state = State.CLOSED
        self._period = 0
        self._open_ms = OPEN_MS_MIN
        self._trial_at_ms = 0
        self._is_tried = False

    @property
    def state(self) -> State:
        if self._state is State.OPEN and self._clock() >= self._trial_at_ms:
            self._state, self._is_tried = State.HALF_OPEN, False
        return self._state

    def ask(self, calls: int) -> Permit:
        """Permit calls: all, one or none. ``end`` must get the result of each."""
        match self.state:
            case State.CLOSED:
                return Permit(calls, self._period)
            case State.OPEN:
                return Permit(0, self._period, self._trial_at_ms)
            case State.HALF_OPEN if calls and not self._is_tried:
                self._is_tried = True
                return Permit(1, self._period)
            case State.HALF_OPEN:
                return Permit(0, self._period)

    def end(self, permit: Permit, *, is_alive: bool | None) -> None:
        """Count the result of one permitted call; None: it says nothing of the host, or was not made."""
        if permit.period != self._period or not permit.calls:
            return
        if self._state is State.CLOSED:
            if is_alive is not None:
                self._count(failed=not is_alive)
        elif is_alive is None:
            self._is_tried = False
        elif is_alive:
            self._close()
        else:
            self._open(min(2 * self._open_ms, OPEN_MS_MAX), "the trial failed")

    def _count(self, *, failed: bool) -> None:
        now_ms = self._clock()
        while self._calls and self._calls[0][0] <= now_ms - WINDOW_MS:
            self._failed -= self._calls.popleft()[1]
        self._calls.append((now_ms, failed))
        self._failed += failed
        calls = len(self._calls)
        if calls >= CALLS_MIN and 2 * self._failed > calls:
            self._open(OPEN_MS_MIN, f"{self._failed} of the last {calls} calls to {self._host} failed")

    def _open(self, open_ms: int, reason: str) -> None:
        self._state, self._period = State.OPEN, self._period + 1
        self._open_ms, self._trial_at_ms = open_ms, self._clock() + open_ms
        self._conditions.begin(Condition.TELEGRAM_AWAY, reason)

    def _close(self) -> None:
        self._state, self._period = State.CLOSED, self._period + 1
        self._calls.clear()
        self._failed = 0
        self._conditions.end(Condition.TELEGRAM_AWAY)
