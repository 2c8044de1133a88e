"""Batches by themselves: what comes while one is under way goes together in the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Done, Lease, Settlement
from tempogram.engine.ports import Settled
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.resilience.batcher import BatchedCalls, Batcher
from tests.engine.desk import turns
from tests.fakes import outgoing


class SlowBroker:
    """Answers when ``answer`` is called; ``held`` is False for messages whose number is odd."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.fails = False
        self._go = asyncio.Event()

    def answer(self) -> None:
        self._go.set()
        self._go = asyncio.Event()

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        numbers = [each.lease.number for each in settlements]
        self.asked.append(numbers)
        await self._go.wait()
        if self.fails:
            raise BrokerUnavailable("away")
        return [Settled(held=number % 2 == 0) for number in numbers]


class QuickBroker(SlowBroker):
    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        self.asked.append([each.lease.number for each in settlements])
        return [Settled(held=True) for _ in settlements]


def settlement(number: int) -> Settlement:
    return Settlement(Lease(outgoing(str(number)), 1, "w", 1, number, 0), Done(), counted_age_ms=0)


def batched(broker: SlowBroker) -> BatchedCalls[Settlement, Settled]:
    return BatchedCalls(broker.settle, batch_max=BATCH_MAX)


def begin(settlements: BatchedCalls[Settlement, Settled], *numbers: int) -> list[asyncio.Task[Settled]]:
    return [asyncio.create_task(settlements.ask(settlement(number))) for number in numbers]


async def test_an_item_that_comes_alone_is_a_call_at_once_without_a_task() -> None:
    broker = QuickBroker()
    settlements = batched(broker)

    for number in range(3):
        await settlements.ask(settlement(number))

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert broker.asked == [[0], [1], [2]]


async def test_items_that_come_during_a_call_share_the_next_and_each_caller_gets_its_own_answer() -> None:
    broker = SlowBroker()
    settling = begin(batched(broker), 0, 1, 2, 3)

    await turns()
    broker.answer()
    await turns()
    broker.answer()
    settled = await asyncio.gather(*settling)

    assert broker.asked == [[0], [1, 2, 3]]
    assert [each.held for each in settled] == [True, False, True, False]


async def test_the_first_caller_has_its_answer_before_the_next_call_ends() -> None:
    broker = SlowBroker()
    first, second = begin(batched(broker), 0, 1)

    await turns()
    broker.answer()
    await turns()

    assert (first.done(), second.done()) == (True, False)
    broker.answer()
    await second


async def test_a_call_takes_one_batch_at_most() -> None:
    broker = SlowBroker()
    settling = begin(batched(broker), *range(BATCH_MAX + 11))

    for _ in range(3):
        await turns()
        broker.answer()
    await asyncio.gather(*settling)

    assert [len(asked) for asked in broker.asked] == [1, BATCH_MAX, 10]


async def test_a_call_that_fails_raises_to_each_of_its_callers_and_the_next_call_goes_on() -> None:
    broker = SlowBroker()
    settlements = batched(broker)
    settling = begin(settlements, 0, 1, 2)
    broker.fails = True

    for _ in range(2):
        await turns()
        broker.answer()
    errors = await asyncio.gather(*settling, return_exceptions=True)
    broker.fails = False
    (again,) = begin(settlements, 4)
    await turns()
    broker.answer()

    assert [type(error) for error in errors] == [BrokerUnavailable] * 3
    assert (await again).held


@pytest.mark.parametrize("place", [0, 1])
async def test_a_caller_that_is_cancelled_leaves_the_others_their_answers(place: int) -> None:
    broker = SlowBroker()
    settling = begin(batched(broker), 0, 2, 4)
    await turns()

    settling.pop(place).cancel()
    for _ in range(2):
        await turns()
        broker.answer()

    assert [each.held for each in await asyncio.gather(*settling)] == [True, True]


class SlowSender:
    """Takes batches; each is under way until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.left: list[int] = []

    async def send(self, items: list[int]) -> None:
        self.batches.append(items)
        await self.go.wait()

    def stopped(self, items: Sequence[int]) -> None:
        self.left += items


async def test_a_full_batcher_refuses_and_forgets_nothing_that_it_has() -> None:
    sender = SlowSender()
    batcher = Batcher(sender.send, batch_max=2, waiting_max=2)

    batcher.put(0)
    await turns()
    taken = [batcher.put(number) for number in (1, 2, 3)]
    sender.go.set()
    await batcher.emptied()

    assert taken == [True, True, False]
    assert sender.batches == [[0], [1, 2]]


async def test_a_batch_is_bounded_by_the_weight_of_its_items() -> None:
    sender = SlowSender()
    batcher = Batcher(sender.send, batch_max=5, weigh=lambda number: number)

    for number in (1, 2, 3, 9, 1, 4, 1):
        batcher.put(number)
    sender.go.set()
    await batcher.emptied()

    assert sender.batches == [[1, 2], [3], [9], [1, 4], [1]]


async def test_what_waits_when_the_sending_stops_is_given_back_and_the_next_item_is_sent() -> None:
    sender = SlowSender()
    batcher = Batcher(sender.send, batch_max=1, on_stop=sender.stopped)
    for number in (1, 2, 3):
        batcher.put(number)
    await turns()

    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await turns()
    batcher.put(4)
    sender.go.set()
    await batcher.emptied()

    assert sender.left == [2, 3]
    assert sender.batches == [[1], [4]]


async def test_callers_are_cancelled_with_the_call_that_has_their_items() -> None:
    broker = SlowBroker()
    settlements = batched(broker)
    first, *others = begin(settlements, 0, 1, 2)
    await turns()
    broker.answer()
    await first
    await turns()

    for task in asyncio.all_tasks() - {asyncio.current_task(), *others}:
        task.cancel()
    await turns()

    assert all(each.cancelled() for each in others)


async def test_waiting_for_a_batcher_whose_sending_was_cancelled_raises_nothing() -> None:
    never = asyncio.Event()

    async def send(_: list[str]) -> None:
        await never.wait()

    batcher = Batcher(send, batch_max=1)
    batcher.put("a")
    await turns()
    assert batcher._sending is not None
    batcher._sending.cancel()

    await batcher.emptied()

    assert not batcher.is_busy
