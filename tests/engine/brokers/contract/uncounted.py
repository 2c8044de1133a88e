"""What is uncounted (messages of cost 0) takes no place and holds up nothing; it obeys holds, pauses and turns."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import (
    Again,
    ChatId,
    Hold,
    HoldChat,
    MoveChat,
    Outgoing,
    Priority,
)
from tempogram.engine.ports import Broker, Refused, WaitsAt
from tests.engine.brokers.contract.steps import (
    HIGH,
    LEASE_MS,
    LOW,
    NORMAL,
    UNLIMITED,
    MakeBroker,
    explained,
    lease,
    leased_ids,
    many,
    queue,
    settle,
    waits_at,
    wake_in_ms,
)
from tests.fakes import START_MS, Clock, outgoing


def uncounted(
    count: int, *, prefix: str = "u", bot_id: int = 1, priority: Priority = NORMAL, chat_id: ChatId = 7
) -> list[Outgoing]:
    messages = many(count, prefix=prefix, bot_id=bot_id, priority=priority, chat_id=chat_id)
    return [structs.replace(each, cost=0, method="deleteMessage") for each in messages]


class Uncounted:
    async def test_uncounted_calls_of_one_chat_are_in_flight_together(self, unlimited: Broker) -> None:
        await queue(unlimited, [*uncounted(3), outgoing("s1"), outgoing("s2")])

        assert sorted(await leased_ids(unlimited)) == ["s1", "u0000", "u0001", "u0002"]

    async def test_uncounted_calls_take_no_place_of_any_limit(self, make: MakeBroker, clock: Clock) -> None:
        one = Limit(1, 60_000)
        broker = make(replace(UNLIMITED, ceiling=one, bot=one, chat=one, group=one, user=one))
        by_a_user = [structs.replace(each, user_id=501) for each in uncounted(20, chat_id=-1)]
        await queue(broker, by_a_user)
        first = await lease(broker)
        await settle(broker, first)

        await queue(broker, [outgoing("s1", chat_id=-1, user_id=501), outgoing("s2", chat_id=-1, user_id=501)])

        assert len(first) == 20
        assert await leased_ids(broker) == ["s1"]
        await queue(broker, uncounted(5, prefix="v", chat_id=-1))
        assert len(await lease(broker)) == 5

    async def test_an_uncounted_call_passes_an_album_that_saves_up(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(4, 1_000)))
        await queue(broker, [*many(2, priority=HIGH), outgoing("album", chat_id=8, cost=4, priority=HIGH)])
        await lease(broker)

        await queue(broker, [*uncounted(1, priority=LOW), outgoing("s", chat_id=9, priority=LOW)])

        assert await leased_ids(broker) == ["u0000"]

    async def test_an_uncounted_call_waits_for_the_holds_of_its_chat_and_bot(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [*uncounted(1), *uncounted(1, prefix="other", chat_id=8)])
        await unlimited.hold([Hold(1, 7, clock() + 2_000), Hold(1, None, clock() + 1_000)])

        held = await leased_ids(unlimited)
        at_ms = await wake_in_ms(unlimited, clock)
        clock.advance(1_000)
        of_other_chat = await leased_ids(unlimited)
        clock.advance(999)
        too_early = await leased_ids(unlimited)
        clock.advance(1)

        assert (held, at_ms, of_other_chat, too_early) == ([], 1_000, ["other0000"], [])
        assert await leased_ids(unlimited) == ["u0000"]

    async def test_an_uncounted_call_waits_while_its_bot_is_paused(self, unlimited: Broker) -> None:
        await unlimited.pause(1, paused=True)
        await queue(unlimited, uncounted(2))
        paused = await leased_ids(unlimited)

        await unlimited.pause(1, paused=False)

        assert paused == []
        assert await leased_ids(unlimited) == ["u0000", "u0001"]

    async def test_an_uncounted_call_that_backs_off_holds_up_nothing(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, uncounted(1))
        await settle(unlimited, await lease(unlimited), Again(5_000), age_ms=None)
        stats = await unlimited.stats()
        why = await explained(unlimited, clock, "u0000")

        await queue(unlimited, [*uncounted(1, prefix="v"), outgoing("s")])
        others = await leased_ids(unlimited)
        clock.advance(4_999)
        too_early = await leased_ids(unlimited)
        clock.advance(1)
        (again,) = await lease(unlimited)

        assert (stats.retry, why) == (1, (WaitsAt.BACKOFF, 0, 0, 5_000))
        assert (sorted(others), too_early) == (["s", "v0000"], [])
        assert (again.message.id, again.attempt) == ("u0000", 2)

    async def test_a_message_that_backs_off_holds_up_no_uncounted_call(self, unlimited: Broker) -> None:
        await queue(unlimited, [outgoing("s")])
        await settle(unlimited, await lease(unlimited), Again(5_000))

        await queue(unlimited, uncounted(1))

        assert await leased_ids(unlimited) == ["u0000"]

    async def test_a_throttled_uncounted_call_holds_its_chat_and_lowers_no_limit(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000), chat=Limit(10, 1_000), guard_ms=500))
        await queue(broker, [*uncounted(1), outgoing("s")])
        deleting = [each for each in await lease(broker) if not each.message.cost]

        (answer,) = await settle(broker, deleting, HoldChat(2_000))

        assert answer.holds == (Hold(1, 7, START_MS + 2_000),)
        assert await waits_at(broker, "u0000") is WaitsAt.CHAT_HELD
        assert (await broker.stats()).adapted == {}

    async def test_throttled_uncounted_calls_of_two_chats_hold_their_bot_and_lower_no_limit(
        self, make: MakeBroker
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000)))
        await queue(broker, [*uncounted(1), *uncounted(1, prefix="v", chat_id=8)])

        answers = await settle(broker, await lease(broker), HoldChat(2_000))

        assert [hold.chat_id for answer in answers for hold in answer.holds] == [7, 8, None]
        assert (await broker.stats()).adapted == {}

    async def test_a_throttled_call_that_belongs_to_no_chat_holds_only_its_like(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        """Telegram lets a bot change its name some times a day, and then asks for hours: that concerns no message."""
        names, commands = "method:setMyName", "method:setMyCommands"
        await queue(unlimited, [*uncounted(2, chat_id=names), *uncounted(1, prefix="v", chat_id=commands)])
        of_names, of_commands = [
            [each for each in leases if each.message.chat_id == chat_id]
            for leases in (await lease(unlimited),)
            for chat_id in (names, commands)
        ]

        await settle(unlimited, [of_names[0], *of_commands], HoldChat(3_600_000))
        await settle(unlimited, of_names[1:])
        await queue(unlimited, [outgoing("s"), *uncounted(1, prefix="w", chat_id=names)])

        assert await leased_ids(unlimited) == ["s"]
        clock.advance(3_600_000)
        assert len(await lease(unlimited)) == 3

    async def test_uncounted_calls_take_turns_with_messages_and_between_bots(self, unlimited: Broker) -> None:
        await queue(unlimited, [*uncounted(40), *uncounted(40, prefix="v", bot_id=2), *many(40, bot_id=3)])

        first = await leased_ids(unlimited, slots=20)

        count = [sum(each.startswith(prefix) for each in first) for prefix in ("u", "v", "m")]
        assert count == [5, 5, 10]

    async def test_a_high_message_waits_for_no_backlog_of_uncounted_calls(self, unlimited: Broker) -> None:
        await queue(unlimited, uncounted(60, priority=LOW))
        await lease(unlimited, slots=10)

        await queue(unlimited, [outgoing("s", priority=HIGH, chat_id=9)])

        assert "s" in await leased_ids(unlimited, slots=2)

    async def test_uncounted_calls_are_capped_counted_cancelled_and_expire(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, chat_cap=2))
        first, last = uncounted(2)
        await queue(broker, [structs.replace(first, expires_at_ms=clock() + 100), last])

        refused = await broker.admit(uncounted(1, prefix="v"), worker_id="intake", slots=0)
        stats = await broker.stats()
        cancelled = await broker.cancel([last.id])
        clock.advance(100)
        answer = await broker.lease(worker_id="worker", slots=1)

        assert refused.verdicts == (Refused(1, 7, 2),)
        assert (stats.waiting[NORMAL], stats.bots) == (2, {1: 2})
        assert cancelled == [True]
        assert ([each.id for each in answer.expired], answer.leases) == ([first.id], ())

    async def test_uncounted_calls_move_with_their_chat(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, uncounted(4, chat_id=-1))
        first, second = await lease(unlimited, slots=2)
        await settle(unlimited, [second], Again(1_000))

        await settle(unlimited, [first], MoveChat(-100))
        now = await lease(unlimited)
        clock.advance(1_000)
        later = await lease(unlimited)

        assert [each.message.id for each in now] == ["u0000", "u0002", "u0003"]
        assert [each.message.id for each in later] == ["u0001"]
        assert {each.message.chat_id for each in (*now, *later)} == {-100}

    async def test_an_uncounted_call_whose_worker_was_lost_is_recovered(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, uncounted(1))
        await lease(unlimited)
        clock.advance(LEASE_MS)

        (found,) = await unlimited.recover(worker_id="recoverer", slots=1)
        (settled,) = await settle(unlimited, [found], Again(0))

        assert settled.held
        assert await leased_ids(unlimited) == ["u0000"]

    async def test_an_uncounted_call_with_a_time_of_its_own_waits_for_it(self, unlimited: Broker, clock: Clock) -> None:
        (call,) = uncounted(1)
        await queue(unlimited, [structs.replace(call, ready_at_ms=clock() + 700)])
        why = await explained(unlimited, clock, call.id)
        too_early = await leased_ids(unlimited)
        clock.advance(700)

        assert (why, too_early) == ((WaitsAt.SCHEDULED, 0, 0, 700), [])
        assert await leased_ids(unlimited) == [call.id]
