"""Whether Redis has the queue, as far as its answers to verbs tell: it may be away, full, or without it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tempogram.engine.model.errors import BrokerFull, BrokerUnavailable, QueueLost
from tempogram.engine.ports import Clock
from tempogram.engine.resilience.conditions import Condition, Conditions

OF_REDIS = (Condition.REDIS_AWAY, Condition.REDIS_FULL, Condition.QUEUE_LOST)
BY_VERBS = "the queue's verbs"
"""How ``Conditions`` knows what is seen here. Changes and results have connections, and conditions, of their own."""


class RedisHealth:
    """What one process knows of it.

    Attributes:
        is_failing: The last verb failed, or another part of this process suspects that the next would.
        away_since_ms: Since when no verb was answered; None if the last one was.
        is_begun: There should be a queue; if not, that it is missing is no trouble.
        trouble: Set when Redis, or the queue in it, begins to be missed.
    """

    def __init__(self, conditions: Conditions, clock: Clock) -> None:
        self._conditions = conditions
        self._clock = clock
        self._lost_to_leasing = False  # a lost queue that admits again does not lease yet
        self.is_failing = False
        self.is_begun = True
        self.away_since_ms: int | None = None
        self.trouble = asyncio.Event()

    @property
    def is_missed(self) -> bool:
        """Whether a probe may tell something new, though no verb is wanted."""
        return self.is_failing or any(self._sees(each) for each in OF_REDIS)

    def begin_anew(self) -> None:
        """Forget what failed before leases came from elsewhere; a condition holds until Redis is asked again."""
        self.is_failing = False
        self.away_since_ms = None

    def forget(self) -> None:
        """End every condition: Redis is not asked any more."""
        for of_redis in OF_REDIS:
            self._end(of_redis)

    @contextmanager
    def noted(self, *, leases: bool, takes_in: bool) -> Iterator[None]:
        """Learn from one verb; it leases, or admits messages, or does neither."""
        try:
            yield
        except BrokerUnavailable as error:
            self._note_failure(error, leases=leases)
            raise
        self._note_success(leases=leases, takes_in=takes_in)

    def _note_failure(self, error: BrokerUnavailable, *, leases: bool) -> None:
        if isinstance(error, QueueLost) and not self.is_begun:
            self._note_answer()
            return
        match error:
            case BrokerFull():
                condition = Condition.REDIS_FULL
            case QueueLost():
                condition = Condition.QUEUE_LOST
                self._lost_to_leasing = self._lost_to_leasing or leases
            case _:
                condition = Condition.REDIS_AWAY
        if condition is not Condition.REDIS_AWAY:
            self._note_answer()
        elif self.away_since_ms is None:
            self.away_since_ms = self._clock()
        if not self._sees(condition):
            self._conditions.begin(condition, str(error), seen_by=BY_VERBS)
            self.trouble.set()
        self.is_failing = True

    def _note_success(self, *, leases: bool, takes_in: bool) -> None:
        self.is_failing = False
        self._note_answer()
        if takes_in:
            self._end(Condition.REDIS_FULL)
        self.is_begun = self.is_begun or leases or takes_in
        if leases or not self._lost_to_leasing:
            self._lost_to_leasing = False
            self._end(Condition.QUEUE_LOST)

    def _note_answer(self) -> None:
        self.away_since_ms = None
        self._end(Condition.REDIS_AWAY)

    def _sees(self, condition: Condition) -> bool:
        return self._conditions.is_seen(condition, by=BY_VERBS)

    def _end(self, condition: Condition) -> None:
        self._conditions.end(condition, seen_by=BY_VERBS)
