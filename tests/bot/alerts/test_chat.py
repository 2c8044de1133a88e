from __future__ import annotations

import pytest

from tempogram.bot.alerts.chat import Chat
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.engine.alerts.channel import Accepted, Away, Pending, Refused
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Priority
from tempogram.engine.model.outcomes import Rejected
from tests.engine.alerts.values import notice
from tests.engine.desk import Desk

OPERATORS = -1005


def chat_of(desk: Desk) -> Chat:
    composer = MethodComposer(clock=desk.clock, ids=Ids(process=1))
    return Chat(desk.dispatcher, composer, bot_id=1, chat_id=OPERATORS)


async def test_an_alert_is_a_message_of_high_priority_that_is_asked_for_until_it_was_sent() -> None:
    desk = Desk()
    chat = chat_of(desk)

    first = await chat.send(notice("1"))
    (message,) = await desk.ledger.open_among(await desk.ledger.open_ids(after_id="", limit=9))
    again = await chat.send(notice("1"))
    await desk.work()

    assert (first, again, await chat.send(notice("1"))) == (Pending(), Pending(), Accepted())
    assert (message.priority, message.chat_id) == (Priority.HIGH, OPERATORS)
    assert b"task 1 is stalled" in message.params
    assert len(desk.sent) == 1


async def test_an_alert_that_telegram_refuses_is_not_taken_for_said() -> None:
    desk = Desk()
    desk.transport.answers(Rejected(400, "chat not found"))
    chat = chat_of(desk)
    await chat.send(notice("1"))
    await desk.work()

    assert await chat.send(notice("1")) == Refused("its message is dead; see the dead letters")


async def test_while_the_database_is_away_the_chat_is_too() -> None:
    desk = Desk()
    desk.ledger.asleep = True

    assert await chat_of(desk).send(notice("1")) == Away("the database is away")


@pytest.mark.parametrize("line", ["<b>", "*x_", "&amp;"])
async def test_a_text_is_sent_as_it_is(line: str) -> None:
    desk = Desk()
    await chat_of(desk).send(notice("1", lines=(line,)))
    (message,) = await desk.ledger.open_among(await desk.ledger.open_ids(after_id="", limit=9))

    assert message.params == f'{{"text":"Task stalled\\n{line}"}}'.encode()
