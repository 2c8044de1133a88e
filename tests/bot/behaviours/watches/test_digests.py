from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import update

from tempogram.bot.behaviours.watches.digests import Digests
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Outgoing, Priority
from tempogram.engine.model.watches import HOUR_MS, Subscriber
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import Chats
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import chats
from tests.engine.desk import UNLIMITED, Desk
from tests.engine.watches.world import ANNA, BEN, World


class Notifying:
    """Watches over a real store, and digests that go through a real engine."""

    def __init__(self, database: Database, limits: Limits = UNLIMITED) -> None:
        self.desk = Desk(limits=limits)
        clock = self.desk.clock
        clock.advance(HOUR_MS - clock() % HOUR_MS)
        self.world, self.clock = World(database, clock), clock
        self.chats, self.database = Chats(database), database
        self.is_known = True
        self.digests = self.new_digests()

    def new_digests(self) -> Digests:
        """Return what a process that starts anew has."""
        return Digests(
            self.world.store,
            self.desk.dispatcher,
            MethodComposer(clock=self.clock, ids=Ids(process=1)),
            is_known=lambda _: self.is_known,
            clock=self.clock,
            metrics=self.world.metrics,
        )

    async def change(self, **prices: int) -> None:
        """Let prices be known as 1, and then change."""
        self.world.source.prices |= prices
        self.clock.advance(HOUR_MS)
        await self.world.run_through()

    async def messages(self) -> list[Outgoing]:
        return await self.desk.ledger.open_among(await self.desk.ledger.open_ids(after_id="", limit=99))

    async def texts(self) -> list[str]:
        return [json.loads(message.params)["text"] for message in await self.messages()]


@pytest.fixture
async def notifying(database: Database) -> Notifying:
    notifying = Notifying(database)
    await notifying.world.watch("tea", "cup")
    await notifying.world.run_through()
    return notifying


async def test_all_that_changed_is_one_message_of_low_priority(notifying: Notifying) -> None:
    await notifying.change(tea=2, cup=3)
    await notifying.digests.run()
    early = await notifying.messages()
    notifying.clock.advance(60_000)
    await notifying.digests.run()
    await notifying.digests.run()

    (message,) = await notifying.messages()
    assert early == []
    assert (message.chat_id, message.priority, message.tag) == (7, Priority.LOW, "watches")
    assert await notifying.texts() == ["Changed:\n• cup: price 1 → 3\n• tea: price 1 → 2"]
    assert notifying.world.metrics.digests == {"submitted": 1}


async def test_what_changed_and_changed_back_is_not_said(notifying: Notifying) -> None:
    await notifying.change(tea=2)
    await notifying.change(tea=1)
    await notifying.digests.run()

    assert await notifying.messages() == []
    assert await notifying.world.store.digests() == []


async def test_a_digest_whose_process_died_is_submitted_once_as_it_was_put_together(notifying: Notifying) -> None:
    await notifying.change(tea=2)
    notifying.clock.advance(60_000)
    await notifying.world.store.put_together([ANNA], now_ms=notifying.clock())
    (digest,) = await notifying.world.store.digests()
    await notifying.new_digests()._submit_all([digest], set())
    await notifying.change(tea=9)

    await notifying.new_digests().run()

    assert await notifying.texts() == ["Changed:\n• tea: price 1 → 2"]
    notifying.clock.advance(60_000)
    await notifying.new_digests().run()
    assert await notifying.texts() == ["Changed:\n• tea: price 1 → 2", "Changed:\n• tea: price 2 → 9"]


async def test_a_chat_that_cannot_be_written_to_is_not_notified_and_the_others_are(notifying: Notifying) -> None:
    await notifying.world.watch("tea", to=BEN)
    await notifying.chats.mark_unreachable(42, 7, "Forbidden: gone")
    await notifying.change(tea=2)
    notifying.clock.advance(60_000)

    await notifying.digests.run()

    assert [message.chat_id for message in await notifying.messages()] == [8]
    assert notifying.world.metrics.digests == {"dropped": 1, "submitted": 1}


async def test_in_its_quiet_hours_a_chat_is_not_notified_and_then_of_everything_at_once(notifying: Notifying) -> None:
    await notifying.chats.set_facts(42, [ChatFacts(chat_id=7, time_zone="UTC")])
    minute = notifying.clock() // 60_000 % 1_440
    quiet = {"quiet_from": minute, "quiet_until": (minute + 180) % 1_440}
    await notifying.database.write_alone(lambda connection: connection.execute(update(chats).values(quiet)) and None)
    await notifying.change(tea=2)
    notifying.clock.advance(60_000)
    await notifying.digests.run()
    await notifying.change(cup=3)
    await notifying.digests.run()
    held = await notifying.messages()
    notifying.clock.advance(HOUR_MS)
    await notifying.digests.run()

    assert held == []
    assert await notifying.texts() == ["Changed:\n• cup: price 1 → 3\n• tea: price 1 → 2"]


async def test_a_bot_whose_queue_is_full_is_tried_once_a_run_and_costs_the_others_nothing(database: Database) -> None:
    notifying = Notifying(database, replace(UNLIMITED, bot_cap=1))
    for number in range(250):
        await notifying.world.watch("tea", to=Subscriber(42, 100 + number))
    await notifying.world.watch("tea", to=Subscriber(43, 7))
    await notifying.world.run_through()
    await notifying.change(tea=2)
    notifying.clock.advance(60_000)

    await notifying.digests.run()

    assert sorted(message.bot_id for message in await notifying.messages()) == [42, 43]
    assert len(await notifying.world.store.digests()) == 100
    assert notifying.desk.metrics.drops == 99  # of the first page


async def test_what_waits_for_a_removed_bot_is_dropped(notifying: Notifying) -> None:
    notifying.is_known = False
    await notifying.change(tea=2)
    notifying.clock.advance(60_000)

    await notifying.digests.run()

    assert await notifying.messages() == []
    assert await notifying.world.store.waiting(now_ms=notifying.clock()) == []


async def test_many_chats_are_notified_page_by_page(notifying: Notifying) -> None:
    for number in range(250):
        await notifying.world.watch("tea", to=Subscriber(42, 100 + number))
    await notifying.change(tea=2)
    notifying.clock.advance(60_000)

    await notifying.digests.run()

    assert notifying.world.metrics.digests == {"submitted": 251}
