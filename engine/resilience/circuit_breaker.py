"""Stops calls to one host while it is away, but for a trial each second.

A bot or a chat whose calls fail is none of its business: see ``limits/failing`` and ``docs/decisions/0016``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from tempogram.engine.limits.failing import FAILING_AFTER_MS
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.messages import ChatId
from tempogram.engine.resilience.conditions import Condition, Conditions

WINDOW_MS = 10_000
"""How far back calls are counted. untuned: a busy host gets ``FAILURES_MIN`` calls in far less."""

FAILURES_MIN = 10
"""Fewer failures in a window are no evidence. untuned: with fewer calls, little is sent in vain."""

TRIAL_MS = 1_000
"""Between two trials. A trial that hangs delays no other, and no bot that may go waits longer.

untuned: one call a second is nothing to a host, and a second more is nothing after an outage."""

NEVER_MS = -WINDOW_MS


@dataclass(frozen=True, slots=True)
class Permit:
    """How many calls may begin.

    Attributes:
        at_ms: When it was given: no earlier do its calls begin.
        again_at_ms: When it may permit more, if that is a matter of time.
        is_trial: The breaker is open, and this is its trial of now.
    """

    calls: int
    at_ms: int
    again_at_ms: int | None = None
    is_trial: bool = False


class CircuitBreaker:
    """One for each host. While it is open, ``Condition.TELEGRAM_AWAY`` holds, and is shown.

    closed ──nothing has succeeded since the first of ``FAILURES_MIN`` failures, and distinct bots agree──> open
    open ──any call succeeds──> closed

    A call that began before the last success is no evidence: some bots' calls may hang, and end together, while those
    of others succeed. If only one bot makes calls, two of its chats must agree, and nothing have succeeded for as long
    as its broker needs to tell that the bot is failing.
    """

    def __init__(self, host: str, *, clock: Clock, conditions: Conditions) -> None:
        self._host = host
        self._clock = clock
        self._conditions = conditions
        self._failures: deque[int] = deque(maxlen=FAILURES_MIN)  # since the last success: when the latest ended
        self._failing_since_ms = 0
        self._succeeded_at_ms = NEVER_MS
        self._bots = LastTwo()
        self._failed_bots = LastTwo()
        self._failed_chats = LastTwo()
        self._trial_at_ms = 0
        self.is_open = False
        self.is_agreed = False  # it is open, and distinct bots agree: a failure tells nothing of a bot or a chat

    def ask(self, calls: int) -> Permit:
        """Permit calls: all, one or none. ``end`` must get the result of each, or ``give_back`` the permit."""
        now_ms = self._clock()
        if not self.is_open or not calls:
            return Permit(calls, now_ms)
        if now_ms < self._trial_at_ms:
            return Permit(0, now_ms, again_at_ms=self._trial_at_ms)
        self._trial_at_ms = now_ms + TRIAL_MS
        return Permit(1, now_ms, is_trial=True)

    def give_back(self, permit: Permit) -> None:
        """Take back a permit of which nothing came: if it was the last trial, another may begin at once."""
        if permit.is_trial and self._trial_at_ms == permit.at_ms + TRIAL_MS:
            self._trial_at_ms = permit.at_ms

    def end(self, permit: Permit, bot_id: int, chat_id: ChatId | None, *, is_alive: bool | None) -> None:
        """Count the result of one permitted call; None: it says nothing of the host, or was not made."""
        if is_alive is None:
            self.give_back(permit)
            return
        now_ms = self._clock()
        self._bots.note(bot_id, now_ms)
        if is_alive:
            self._succeed(now_ms)
        elif permit.at_ms >= self._succeeded_at_ms:
            self._fail(bot_id, chat_id, now_ms)

    def _succeed(self, now_ms: int) -> None:
        self._succeeded_at_ms = now_ms
        if self._failures:
            self._failures.clear()
            self._failed_bots, self._failed_chats = LastTwo(), LastTwo()
        if self.is_open:
            self.is_open = self.is_agreed = False
            self._conditions.end(Condition.TELEGRAM_AWAY)

    def _fail(self, bot_id: int, chat_id: ChatId | None, now_ms: int) -> None:
        if not self._failures:
            self._failing_since_ms = now_ms
        self._failures.append(now_ms)
        self._failed_bots.note(bot_id, now_ms)
        self._failed_chats.note((bot_id, chat_id), now_ms)
        if not self.is_open and self._is_away(now_ms):
            self.is_open = True  # the first trial may begin at once, as another bot's call may succeed
            reason = f"the last {FAILURES_MIN} calls to {self._host} failed"
            self._conditions.begin(Condition.TELEGRAM_AWAY, reason)
        self.is_agreed = self.is_open and (self.is_agreed or self._failed_bots.are_two(now_ms - WINDOW_MS))

    def _is_away(self, now_ms: int) -> bool:
        since_ms = now_ms - WINDOW_MS
        if len(self._failures) < FAILURES_MIN or self._failures[0] <= since_ms:
            return False
        if self._bots.are_two(since_ms):
            return self._failed_bots.are_two(since_ms)
        return self._failed_chats.are_two(since_ms) and now_ms - self._failing_since_ms >= FAILING_AFTER_MS


class LastTwo:
    """Which of many came last, and when another did.

    >>> bots = LastTwo()
    >>> bots.note("A", 1); bots.note("B", 2); bots.note("B", 3)
    >>> bots.are_two(since_ms=0), bots.are_two(since_ms=1)
    (True, False)
    """

    __slots__ = ("_at_ms", "_key", "_other_at_ms")

    def __init__(self) -> None:
        self._key: Hashable = None
        self._at_ms = self._other_at_ms = NEVER_MS

    def note(self, key: Hashable, now_ms: int) -> None:
        if key != self._key:
            self._key, self._other_at_ms = key, self._at_ms
        self._at_ms = now_ms

    def are_two(self, since_ms: int) -> bool:
        """Tell whether two different ones came after a time."""
        return self._other_at_ms > since_ms
