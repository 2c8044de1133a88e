"""Messages that have ended and the queue may still hold are noted until they are taken out of it."""

from __future__ import annotations

import pytest

from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.messages import Status
from tempogram.engine.recovery.ended_messages import ENDED_MAX, EndedMessages
from tests.engine.desk import Desk
from tests.fakes import outgoing


@pytest.fixture
def ended_messages(desk: Desk) -> EndedMessages:
    return EndedMessages(desk.ledger)


async def test_an_ended_message_is_taken_out_once_and_a_replayed_one_stays(
    desk: Desk, ended_messages: EndedMessages
) -> None:
    await desk.accept(outgoing("a"), outgoing("b"))
    desk.ledger.statuses["a"] = Status.DEAD
    ended_messages.note(["a", "b"])

    await ended_messages.take_out(desk.broker.cancel)
    await desk.admit(outgoing("a"))
    await ended_messages.take_out(desk.broker.cancel)

    assert await desk.broker.knows(["a", "b"]) == [True, True]


async def test_ended_messages_stay_noted_while_the_queue_is_away(desk: Desk, ended_messages: EndedMessages) -> None:
    await desk.accept(outgoing("a"))
    desk.ledger.statuses["a"] = Status.DEAD
    ended_messages.note(["a"])

    async def refuse(_: object) -> None:
        raise BrokerUnavailable("the queue is away")

    with pytest.raises(BrokerUnavailable):
        await ended_messages.take_out(refuse)
    await ended_messages.take_out(desk.broker.cancel)

    assert await desk.broker.knows(["a"]) == [False]


async def test_the_oldest_ended_messages_are_dropped_beyond_the_bound(
    desk: Desk, ended_messages: EndedMessages
) -> None:
    await desk.accept(outgoing("first"), outgoing("second"))
    desk.ledger.statuses |= dict.fromkeys(["first", "second"], Status.DEAD)
    ended_messages.note(["first", "second", *(f"{number}" for number in range(ENDED_MAX - 1))])

    await ended_messages.take_out(desk.broker.cancel)

    assert await desk.broker.knows(["first", "second"]) == [True, False]
