from __future__ import annotations

from collections.abc import Sequence

import pytest

from tempogram.engine.services.calls import Call, Limiter
from tempogram.engine.services.memory_queue import MemoryCallQueue
from tests.engine.services.queue_contract import CallQueueContract, Queue, call, limiter
from tests.fakes import Clock


class InMemory:
    """See ``Queue``."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.begun: list[str] = []
        self.queue = MemoryCallQueue(lambda each: self.begun.append(each.call_id))

    async def ask(self, call: Call) -> list[str]:
        if self.queue.ask(self.clock(), call):
            self.begun.append(call.call_id)
        return self._begun()

    async def end(self, call: Call, used: Sequence[int] | None = None) -> list[str]:
        if call.began_at_ms < 0:
            self.queue.withdraw(self.clock(), call)
        else:
            self.queue.end(self.clock(), call, used)
        return self._begun()

    async def hold(self, limiter: Limiter, until_ms: int) -> list[str]:
        if until_ms:
            self.queue.hold(limiter, self.clock(), until_ms, "a test")
        else:
            self.queue.release_hold(limiter, self.clock())
        return self._begun()

    async def release(self, limiter: Limiter) -> list[str]:
        self.queue.release_hold(limiter, self.clock())
        return self._begun()

    async def believe(self, limiter: Limiter, *, left: int, until_ms: int, of: int | None = None) -> list[str]:
        self.queue.believe(limiter, self.clock(), left=left, until_ms=until_ms, of=of)
        return self._begun()

    async def look(self) -> list[str]:
        return self._begun()

    def _begun(self) -> list[str]:
        self.queue.look(self.clock())
        begun, self.begun = self.begun, []
        return begun


class TestMemoryCallQueue(CallQueueContract):
    @pytest.fixture
    def queue(self, clock: Clock) -> Queue:
        return InMemory(clock)


def test_a_limiter_at_which_nothing_is_used_is_forgotten(clock: Clock) -> None:
    queue = MemoryCallQueue(lambda _: None)
    for number in range(10_000):
        tenant = call(str(number), limiter(f"service@{number}", count=1, window_ms=1_000))
        assert queue.ask(clock(), tenant)
        queue.end(clock(), tenant)
        clock.advance(10)

    assert len(queue._gates) < 2_500


def test_after_a_start_a_limiter_waits_for_its_own_window(clock: Clock) -> None:
    begun: list[Call] = []
    queue = MemoryCallQueue(begun.append, started_at_ms=clock())
    one = limiter(count=1, window_ms=3_000)

    assert not queue.ask(clock(), call("a", one))
    clock.advance(2_999)
    queue.look(clock())
    assert not begun
    clock.advance(1)
    queue.look(clock())
    assert [each.call_id for each in begun] == ["a"]


def test_a_call_of_a_long_window_waits_until_the_database_has_its_use(clock: Clock) -> None:
    begun: list[Call] = []
    queue = MemoryCallQueue(begun.append, keeps_uses=True, started_at_ms=clock())
    mentions = limiter("mentions", count=10, window_ms=900_000)

    assert not queue.ask(clock(), call("a", mentions))
    assert queue.wants(clock()) == [("mentions", -1)], "its uses from before the start"
    queue.restore("mentions", clock(), [(clock() - 1_000, 9)])
    assert queue.wants(clock()) == [("mentions", 1)]
    assert not begun
    queue.cover("mentions", clock(), 1)

    assert [each.call_id for each in begun] == ["a"]
    assert not queue.ask(clock(), call("b", mentions)), "the tenth of this window has gone"


def test_units_are_covered_once_a_second_at_most_and_a_call_that_waits_for_it_is_looked_at_then(clock: Clock) -> None:
    begun: list[Call] = []
    queue = MemoryCallQueue(begun.append, keeps_uses=True)
    tokens = limiter("tokens", count=1_000, window_ms=60_000)
    queue.ask(clock(), call("a", tokens))
    queue.wants(clock())
    queue.restore("tokens", clock(), [])
    assert queue.wants(clock()) == [("tokens", 1)]
    queue.cover("tokens", clock(), 1)

    clock.advance(400)
    assert not queue.ask(clock(), call("b", tokens))

    assert queue.wants(clock()) == []
    assert queue.look(clock()) == clock() + 600
    clock.advance(600)
    queue.look(clock())
    assert queue.wants(clock()) == [("tokens", 2)], "what waits, and what the last second used"


def test_no_more_is_said_to_the_database_than_may_begin(clock: Clock) -> None:
    begun: list[Call] = []
    queue = MemoryCallQueue(begun.append, keeps_uses=True)
    ten = limiter("mentions", count=10, window_ms=900_000)
    for number in range(20):
        queue.ask(clock(), call(str(number), ten))
    queue.wants(clock())
    queue.restore("mentions", clock(), [(clock() - 1_000, 7)])

    assert queue.wants(clock()) == [("mentions", 3)]


def test_uses_that_the_database_says_twice_count_once(clock: Clock) -> None:
    queue = MemoryCallQueue(lambda _: None, keeps_uses=True)
    ten = limiter("mentions", count=10, window_ms=900_000)
    queue.ask(clock(), call("a", ten))
    for _ in range(2):
        queue.restore("mentions", clock(), [(clock() - 1_000, 5)])

    assert queue.state(ten, clock()).left == 5


def test_the_database_may_answer_of_a_limiter_that_was_forgotten(clock: Clock) -> None:
    queue = MemoryCallQueue(lambda _: None, keeps_uses=True)

    queue.restore("forgotten", clock(), [(clock(), 5)])
    queue.cover("forgotten", clock(), 5)

    assert not queue.waiting


def test_a_released_hold_does_not_end_what_holds_since_the_start(clock: Clock) -> None:
    begun: list[str] = []
    queue = MemoryCallQueue(lambda each: begun.append(each.call_id), started_at_ms=clock())
    one = limiter(count=1, window_ms=3_000)
    queue.ask(clock(), call("a", one))
    queue.hold(one, clock(), clock() + 60_000, "a test")

    queue.release_hold(one, clock())
    assert begun == []
    clock.advance(3_000)
    queue.look(clock())

    assert begun == ["a"]
