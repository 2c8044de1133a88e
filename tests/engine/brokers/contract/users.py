"""A user's limit holds over all chats of a bot."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.limits.limits import Limit
from tempogram.engine.ports import WaitsAt
from tests.engine.brokers.contract.steps import (
    HIGH,
    UNLIMITED,
    MakeBroker,
    explained,
    lease,
    leased_ids,
    one_by_one,
    queue,
    send_all,
    settle,
)
from tests.fakes import Clock, outgoing


class Users:
    async def test_a_user_has_one_limit_over_all_chats_of_a_bot(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, user=Limit(2, 60_000)))
        await queue(broker, [outgoing(f"m{n}", chat_id=n + 1, user_id=501, priority=HIGH) for n in range(3)])

        sent = await send_all(broker, clock, for_ms=70_000)

        assert sent == [(0, "m0"), (0, "m1"), (60_001, "m2")]

    async def test_a_user_at_its_limit_keeps_back_no_other_user_no_other_bot_and_no_message_without_a_user(
        self, make: MakeBroker
    ) -> None:
        broker = make(replace(UNLIMITED, user=Limit(1, 60_000)))
        await queue(broker, [outgoing(f"a{n}", chat_id=n + 1, user_id=501) for n in range(2)])
        await queue(broker, [outgoing("b", chat_id=3, user_id=502), outgoing("c", chat_id=4, bot_id=2, user_id=501)])
        await queue(broker, [outgoing("d", chat_id=5)])

        assert sorted(await one_by_one(broker)) == ["a0", "b", "c", "d"]

    async def test_what_a_users_limit_refuses_takes_no_place_of_another(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(2, 1_000), user=Limit(1, 60_000)))
        await queue(broker, [outgoing(f"a{n}", chat_id=n + 1, user_id=501, priority=HIGH) for n in range(3)])
        await one_by_one(broker)
        await queue(broker, [outgoing("b", chat_id=9, priority=HIGH)])

        assert await one_by_one(broker) == ["b"]

    async def test_a_call_that_never_left_gives_a_users_place_back(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, user=Limit(1, 60_000)))
        await queue(broker, [outgoing(f"a{n}", chat_id=n + 1, user_id=501) for n in range(2)])

        await settle(broker, await lease(broker), age_ms=None)

        assert await leased_ids(broker) == ["a1"]

    async def test_a_message_says_that_its_user_has_reached_its_limit(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, user=Limit(1, 60_000)))
        await queue(broker, [outgoing(f"a{n}", chat_id=n + 1, user_id=501) for n in range(2)])
        await one_by_one(broker)

        assert await explained(broker, clock, "a1") == (WaitsAt.USER_WINDOW, 0, 0, 60_001)

    async def test_a_limit_for_users_may_come_and_go_while_messages_wait(self, make: MakeBroker) -> None:
        broker = make(UNLIMITED)
        await queue(broker, [outgoing(f"a{n}", chat_id=n + 1, user_id=501) for n in range(3)])

        await broker.configure(replace(UNLIMITED, version=2, user=Limit(1, 60_000)))
        limited = await one_by_one(broker)
        await broker.configure(replace(UNLIMITED, version=3))

        assert limited == ["a0"]
        assert await one_by_one(broker) == ["a1", "a2"]
