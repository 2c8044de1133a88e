"""What comes while the broker is asked is settled together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Done, Lease, Settlement
from tempogram.engine.ports import Settled
from tempogram.engine.ports.broker import BATCH_MAX
from tempogram.engine.sending.settle_batcher import SettleBatcher
from tests.engine.desk import turns
from tests.fakes import outgoing


class SlowBroker:
    """Answers when it is told to; ``held`` is False for messages whose number is odd."""

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


def begin(settlements: SettleBatcher, *numbers: int) -> list[asyncio.Task[Settled]]:
    return [asyncio.create_task(settlements.settle(settlement(number))) for number in numbers]


async def test_one_that_comes_alone_is_settled_at_once() -> None:
    broker = QuickBroker()
    settlements = SettleBatcher(broker)  # type: ignore[arg-type]

    for number in range(3):
        await settlements.settle(settlement(number))

    assert broker.asked == [[0], [1], [2]]


async def test_those_that_come_meanwhile_go_together_and_each_gets_its_own_answer() -> None:
    broker = SlowBroker()
    settling = begin(SettleBatcher(broker), 0, 1, 2, 3)  # type: ignore[arg-type]

    await turns()
    broker.answer()
    await turns()
    broker.answer()
    settled = await asyncio.gather(*settling)

    assert broker.asked == [[0], [1, 2, 3]]
    assert [each.held for each in settled] == [True, False, True, False]


async def test_the_first_has_its_answer_before_those_behind_it() -> None:
    broker = SlowBroker()
    first, second = begin(SettleBatcher(broker), 0, 1)  # type: ignore[arg-type]

    await turns()
    broker.answer()
    await turns()

    assert (first.done(), second.done()) == (True, False)
    broker.answer()
    await second


async def test_no_call_has_more_than_a_batch() -> None:
    broker = SlowBroker()
    settling = begin(SettleBatcher(broker), *range(BATCH_MAX + 11))  # type: ignore[arg-type]

    for _ in range(3):
        await turns()
        broker.answer()
    await asyncio.gather(*settling)

    assert [len(asked) for asked in broker.asked] == [1, BATCH_MAX, 10]


async def test_everybody_whose_call_fails_hears_of_it_and_may_settle_again() -> None:
    broker = SlowBroker()
    settlements = SettleBatcher(broker)  # type: ignore[arg-type]
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
async def test_one_who_goes_away_disturbs_nobody(place: int) -> None:
    broker = SlowBroker()
    settling = begin(SettleBatcher(broker), 0, 2, 4)  # type: ignore[arg-type]
    await turns()

    settling.pop(place).cancel()
    for _ in range(2):
        await turns()
        broker.answer()

    assert [each.held for each in await asyncio.gather(*settling)] == [True, True]
