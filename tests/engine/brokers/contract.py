"""What every broker promises. Read the names of the tests: they are the specification.

A backend is held to it by a subclass with one fixture, ``make``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from tempogram.engine.limits.limits import DAY_MS, Limit, Limits
from tempogram.engine.model.messages import (
    Again,
    ChatId,
    Done,
    Hold,
    HoldChat,
    Lease,
    MoveChat,
    Outgoing,
    PastSend,
    PauseBot,
    Priority,
    Rest,
    Settlement,
    Spent,
    Then,
)
from tempogram.engine.ports import Broker, Duplicate, Queued, Refused, Replaced, Settled, WaitsAt
from tempogram.engine.ports.broker import BATCH_MAX
from tests.fakes import START_MS, Clock, outgoing

NONE = Limit(0, 1)
UNLIMITED = Limits(ceiling=NONE, bot=NONE, chat=NONE, group=NONE)
LEASE_MS = 30_000
MakeBroker = Callable[[Limits], Broker]

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


def many(
    count: int, *, prefix: str = "m", bot_id: int = 1, priority: Priority = NORMAL, chat_id: ChatId | None = None
) -> list[Outgoing]:
    """Return messages in the order of their ids: all to one chat, or each to a chat of its own."""
    own = {NORMAL: 1, HIGH: 10_001, LOW: 20_001}[priority]
    return [
        outgoing(f"{prefix}{n:04}", bot_id=bot_id, priority=priority, chat_id=n + own if chat_id is None else chat_id)
        for n in range(count)
    ]


def paid(count: int) -> list[Outgoing]:
    return [structs.replace(each, is_paid=True) for each in many(count, prefix="paid")]


async def queue(broker: Broker, messages: Iterable[Outgoing]) -> None:
    waiting = list(messages)
    for start in range(0, len(waiting), BATCH_MAX):
        batch = waiting[start : start + BATCH_MAX]
        admission = await broker.admit(batch, worker_id="intake", slots=0)
        assert all(isinstance(verdict, Queued) for verdict in admission.verdicts)


async def lease(broker: Broker, slots: int = BATCH_MAX) -> list[Lease]:
    return list((await broker.lease(worker_id="worker", slots=slots)).leases)


async def leased_ids(broker: Broker, slots: int = BATCH_MAX) -> list[str]:
    return [each.message.id for each in await lease(broker, slots)]


async def wake_in_ms(broker: Broker, clock: Clock) -> int | None:
    wake_at_ms = (await broker.lease(worker_id="worker", slots=BATCH_MAX)).wake_at_ms
    return None if wake_at_ms is None else wake_at_ms - clock()


async def settle(
    broker: Broker, leases: Iterable[Lease], then: Then | None = None, age_ms: int | None = 0
) -> list[Settled]:
    return await broker.settle([Settlement(each, then or Done(), age_ms) for each in leases])


async def send_all(broker: Broker, clock: Clock, *, for_ms: int) -> list[tuple[int, str]]:
    """Lease whatever may go and settle it at once, waking when told; return when each left, and its id."""
    sent: list[tuple[int, str]] = []
    end_ms = clock() + for_ms
    while True:
        leased = await broker.lease(worker_id="worker", slots=BATCH_MAX)
        await settle(broker, leased.leases)
        sent += [(clock() - START_MS, each.message.id) for each in leased.leases]
        if not leased.leases and (leased.wake_at_ms is None or leased.wake_at_ms > end_ms):
            clock.now_ms = end_ms
            return sent
        clock.now_ms = clock() if leased.leases or leased.wake_at_ms is None else leased.wake_at_ms


def edit(
    message_id: str,
    *,
    chat_id: ChatId = 7,
    method: str = "editMessageText",
    replaces: str = "edit:1",
    priority: Priority = NORMAL,
) -> Outgoing:
    return outgoing(message_id, chat_id=chat_id, method=method, replaces=replaces, priority=priority)


async def one_by_one(broker: Broker) -> list[str]:
    """Send everything that may go now, and return the ids in the order in which they left."""
    sent: list[str] = []
    while leases := await lease(broker, 1):
        await settle(broker, leases)
        sent += [each.message.id for each in leases]
    return sent


def busiest(sent: Iterable[tuple[int, str]], *, from_ms: int, to_ms: int) -> int:
    return sum(from_ms <= at_ms < to_ms for at_ms, _ in sent)


async def waits_at(broker: Broker, message_id: str) -> WaitsAt:
    told = await broker.explain(message_id)
    assert told is not None
    return told.waits_at


async def explained(broker: Broker, clock: Clock, message_id: str) -> tuple[WaitsAt, int, int, int | None]:
    """Return its gate, how many are before it in lane and line, and in how many ms it goes at the earliest."""
    told = await broker.explain(message_id)
    assert told is not None
    in_ms = None if told.earliest_at_ms is None else told.earliest_at_ms - clock()
    return told.waits_at, told.before_in_lane, told.before_in_line, in_ms


class BrokerContract:
    @pytest.fixture
    def make(self, clock: Clock) -> MakeBroker:
        raise NotImplementedError

    @pytest.fixture
    def broker(self, make: MakeBroker) -> Broker:
        return make(Limits())

    @pytest.fixture
    def unlimited(self, make: MakeBroker) -> Broker:
        return make(UNLIMITED)

    # Window

    async def test_a_bot_has_thirty_places_in_a_second_and_not_one_more(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(31, priority=HIGH))
        first = await lease(broker)
        await settle(broker, first)

        clock.advance(1_000)
        too_early = await leased_ids(broker)
        clock.advance(1)
        in_time = await leased_ids(broker)

        assert len(first) == 30
        assert too_early == []
        assert in_time == ["m0030"]

    async def test_a_place_is_free_a_window_after_telegram_counted_it(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        await queue(broker, many(2, priority=HIGH))
        first = await lease(broker)
        clock.advance(400)
        await settle(broker, first, age_ms=100)

        clock.advance(900)
        too_early = await leased_ids(broker)
        clock.advance(1)

        assert too_early == []
        assert await leased_ids(broker) == ["m0001"]

    async def test_a_place_stays_taken_until_it_is_settled(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        await queue(broker, many(2, priority=HIGH))
        await lease(broker)

        clock.advance(LEASE_MS * 100)

        assert await leased_ids(broker) == []

    async def test_a_call_that_never_left_gives_its_places_back_at_once(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        await queue(broker, many(2, priority=HIGH))

        await settle(broker, await lease(broker), age_ms=None)

        assert await leased_ids(broker) == ["m0001"]

    async def test_the_ceiling_counts_all_bots_together(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(3, 1_000)))
        for bot_id in (1, 2, 3, 4):
            await queue(broker, many(2, prefix=f"bot{bot_id}-", bot_id=bot_id, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=2_500)

        assert Counter(at_ms for at_ms, _ in sent) == {0: 3, 1_001: 3, 2_002: 2}

    async def test_what_one_limit_refuses_takes_no_place_of_another(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(1, 100), bot=Limit(1, 60_000), group=Limit(1, 60_000)))
        await queue(broker, [outgoing("a", bot_id=1, chat_id=-1), outgoing("b", bot_id=2, chat_id=-1)])
        await settle(broker, await lease(broker))
        for _ in range(5):
            assert await leased_ids(broker) == []

        clock.advance(101)

        assert await leased_ids(broker) == ["b"]

    async def test_a_private_chat_gets_three_at_once_and_then_one_a_second(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(6, chat_id=7, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=10_000)

        # Each is taken to be counted at the end of its millisecond.
        assert [at_ms for at_ms, _ in sent] == [0, 0, 1, 1_001, 2_001, 3_001]

    @pytest.mark.parametrize("chat_id", [-100123, "@news"])
    async def test_a_group_gets_twenty_in_sixty_seconds(self, broker: Broker, clock: Clock, chat_id: ChatId) -> None:
        await queue(broker, many(41, chat_id=chat_id, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=120_002)

        assert Counter(at_ms for at_ms, _ in sent) == {0: 20, 60_001: 20, 120_002: 1}

    async def test_a_call_of_no_chat_uses_only_its_bots_places(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, (outgoing(f"{n:02}", chat_id=None, priority=HIGH) for n in range(31)))

        sent = await send_all(broker, clock, for_ms=1_000)

        assert len(sent) == 30

    async def test_an_album_takes_a_place_for_each_item(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(5, 1_000)))
        await queue(broker, [outgoing("a", chat_id=1, cost=4, priority=HIGH), *many(3, priority=HIGH)])

        assert len(await lease(broker)) == 2

    async def test_only_the_items_that_arrived_of_an_album_take_places(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(5, 60_000)))
        await queue(broker, [outgoing("album", chat_id=1, cost=5, priority=HIGH), *many(9, priority=HIGH)])
        (album,) = await lease(broker, 1)

        rest = Rest("sendMediaGroup", b"{}", cost=3)
        await broker.settle([Settlement(album, HoldChat(8_000), 0, rest)])

        assert len(await leased_ids(broker)) == 3

    async def test_what_is_left_of_an_album_is_what_is_leased_next(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("album", chat_id=1, cost=5), outgoing("b", chat_id=1)])
        (album,) = await lease(unlimited)

        rest = Rest("sendPhoto", b'{"photo":"x"}', cost=1)
        await unlimited.settle([Settlement(album, HoldChat(8_000), 0, rest)])
        clock.advance(8_000)
        (again,) = await lease(unlimited)

        assert again.message == rest.of(album.message)

    async def test_an_album_larger_than_its_limit_leaves_when_nothing_else_is_taken(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(3, 1_000)))
        await queue(broker, [outgoing("a", chat_id=1, priority=HIGH), outgoing("b", chat_id=2, cost=10, priority=HIGH)])

        sent = await send_all(broker, clock, for_ms=2_000)

        assert sent == [(0, "a"), (1_001, "b")]

    async def test_an_album_does_not_starve_behind_single_messages(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(4, 1_000), saved_up=4))
        await queue(broker, many(4, priority=HIGH))
        singles = await lease(broker)
        await queue(broker, [outgoing("album", chat_id=77, cost=3), *many(40, prefix="low", priority=LOW)])
        for single in singles:
            clock.advance(100)
            await settle(broker, [single])

        sent = await send_all(broker, clock, for_ms=1_500)

        assert sent[0] == (1_301, "album")

    async def test_an_album_leaves_within_a_window_behind_an_endless_stream_of_high(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(4, 1_000), saved_up=4))
        await queue(broker, many(100, priority=HIGH))
        await send_all(broker, clock, for_ms=2_500)
        begun_ms = clock() - START_MS

        await queue(broker, [outgoing("album", chat_id=77, cost=3)])
        sent = {message_id: at_ms - begun_ms for at_ms, message_id in await send_all(broker, clock, for_ms=3_000)}

        # At the latest when what was counted before it came has left the window.
        assert sent["album"] <= 1_001

    async def test_an_album_of_one_bot_leaves_behind_other_bots_at_the_ceiling(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(4, 1_000), saved_up=4))
        await queue(broker, many(100, priority=HIGH))
        await send_all(broker, clock, for_ms=2_500)
        begun_ms = clock() - START_MS

        await queue(broker, [outgoing("album", bot_id=2, chat_id=77, cost=3)])
        sent = {message_id: at_ms - begun_ms for at_ms, message_id in await send_all(broker, clock, for_ms=3_000)}

        assert sent["album"] <= 1_001

    @pytest.mark.parametrize(
        "limits", [replace(UNLIMITED, bot=Limit(4, 1_000)), replace(UNLIMITED, ceiling=Limit(4, 1_000))]
    )
    async def test_an_urgent_message_goes_at_once_while_an_album_saves_up(
        self, make: MakeBroker, clock: Clock, limits: Limits
    ) -> None:
        broker = make(replace(limits, saved_up=1))
        await queue(broker, many(60, prefix="low", priority=LOW))
        await send_all(broker, clock, for_ms=4_100)
        await queue(broker, [outgoing("album", cost=4)])
        while_it_saves_up = await send_all(broker, clock, for_ms=600)

        await queue(broker, [outgoing("urgent", chat_id=-5, priority=HIGH)])

        assert while_it_saves_up == []
        assert await leased_ids(broker) == ["urgent"]

    async def test_places_in_flight_are_taken_from_a_bucket_until_they_are_settled(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000, burst=3)))
        await queue(broker, many(5, priority=HIGH))
        first = await lease(broker)
        clock.advance(5_000)

        in_flight = await broker.lease(worker_id="worker", slots=BATCH_MAX)
        await settle(broker, first)

        assert len(first) == 3
        assert (in_flight.leases, in_flight.wake_at_ms) == ((), None)
        assert await wake_in_ms(broker, clock) == 1_001

    async def test_new_limits_act_from_now_on_and_an_older_version_is_ignored(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, version=5, bot=Limit(1, 1_000)))
        await queue(broker, many(5, priority=HIGH))
        await settle(broker, await lease(broker))

        answers = [await broker.configure(replace(UNLIMITED, version=n, bot=Limit(3, 1_000))) for n in (5, 4, 6)]

        assert answers == [False, False, True]
        assert await leased_ids(broker) == ["m0001", "m0002"]

    # Busy

    async def test_normal_messages_leave_two_at_once_and_then_one_a_slot(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(5))

        sent = await send_all(broker, clock, for_ms=200)

        assert [at_ms for at_ms, _ in sent] == [0, 0, 34, 67, 100]

    async def test_as_many_leave_at_once_as_may_be_saved_up(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(saved_up=5))
        await queue(broker, many(8))

        sent = await send_all(broker, clock, for_ms=200)

        assert [at_ms for at_ms, _ in sent] == [0, 0, 0, 0, 0, 34, 67, 100]

    async def test_low_and_normal_are_spaced_together(self, broker: Broker) -> None:
        await queue(broker, many(2))
        await queue(broker, many(2, prefix="low", priority=LOW))

        assert len(await lease(broker)) == 2

    async def test_all_bots_together_are_spaced_below_the_ceiling(self, broker: Broker) -> None:
        for bot_id in (1, 2, 3):
            await queue(broker, many(1, prefix=f"bot{bot_id}-", bot_id=bot_id))

        assert len(await lease(broker)) == 2

    async def test_high_uses_every_free_place(self, broker: Broker) -> None:
        await queue(broker, many(40, priority=HIGH))

        assert len(await lease(broker)) == 30

    @pytest.mark.parametrize("after_ms", [1, 900, 1_002, 3_000, 3_050, 5_000])
    async def test_an_urgent_message_behind_six_hundred_low_ones_waits_at_most_a_slot(
        self, broker: Broker, clock: Clock, after_ms: int
    ) -> None:
        await queue(broker, many(600, prefix="low", priority=LOW))
        await send_all(broker, clock, for_ms=after_ms)

        await queue(broker, [outgoing("urgent", chat_id=-5, priority=HIGH)])
        sent = await send_all(broker, clock, for_ms=34)

        assert sent[0][1] == "urgent"

    async def test_the_fortieth_urgent_message_waits_no_longer_than_the_first(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue(broker, [*many(350, prefix="low", priority=LOW), *many(350)])
        await send_all(broker, clock, for_ms=2_000)

        for n in range(40):
            await queue(broker, [outgoing(f"urgent{n:03}", chat_id=-5 - n, priority=HIGH)])
            sent = await send_all(broker, clock, for_ms=100)
            assert f"urgent{n:03}" in [message_id for at_ms, message_id in sent if at_ms <= sent[0][0] + 1]

    async def test_with_a_backlog_the_limit_is_used(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(400))

        sent = await send_all(broker, clock, for_ms=10_000)

        after_the_first_window = [at_ms for at_ms, _ in sent if 1_000 <= at_ms < 10_000]
        assert len(after_the_first_window) >= 9 * 30 * 1_000 // 1_025

    async def test_no_more_are_leased_than_there_are_slots(self, unlimited: Broker) -> None:
        await queue(unlimited, many(60))

        assert len(await lease(unlimited, slots=3)) == 3
        assert len(await lease(unlimited, slots=1_000)) == BATCH_MAX
        assert await lease(unlimited, slots=0) == []

    async def test_what_is_admitted_goes_at_once_when_it_may(self, unlimited: Broker) -> None:
        admission = await unlimited.admit(many(2), worker_id="intake", slots=1)

        assert admission.verdicts == (Queued(), Queued())
        assert [each.message.id for each in admission.leased.leases] == ["m0000"]

    # No head-of-line blocking

    async def test_a_chat_that_must_wait_holds_up_no_other_chat(self, unlimited: Broker, clock: Clock) -> None:
        await unlimited.hold([Hold(1, 1, clock() + 60_000)])
        await queue(unlimited, many(3))

        assert await leased_ids(unlimited) == ["m0001", "m0002"]

    async def test_a_bot_that_must_wait_holds_up_no_other_bot(self, unlimited: Broker, clock: Clock) -> None:
        await unlimited.hold([Hold(1, None, clock() + 60_000)])
        await unlimited.pause(2, paused=True)
        for bot_id in (1, 2, 3):
            await queue(unlimited, many(1, prefix=f"bot{bot_id}-", bot_id=bot_id))

        assert await leased_ids(unlimited) == ["bot3-0000"]

    async def test_a_bot_at_its_limit_holds_up_no_other_bot(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        for bot_id in (1, 2):
            await queue(broker, many(2, prefix=f"bot{bot_id}-", bot_id=bot_id, priority=HIGH))

        assert await leased_ids(broker) == ["bot1-0000", "bot2-0000"]

    # Order

    async def test_one_chats_messages_leave_in_the_order_of_their_ids(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, reversed(many(5, chat_id=7)))

        sent = await send_all(unlimited, clock, for_ms=1)

        assert [message_id for _, message_id in sent] == ["m0000", "m0001", "m0002", "m0003", "m0004"]

    async def test_one_message_of_a_chat_is_in_flight_at_a_time(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=7))
        await queue(unlimited, many(1, prefix="high", chat_id=7, priority=HIGH))

        first = await lease(unlimited)
        meanwhile = await lease(unlimited)
        await settle(unlimited, first)

        assert len(first) == 1
        assert meanwhile == []
        assert len(await lease(unlimited)) == 1

    async def test_the_same_chat_of_another_bot_is_another_chat(self, unlimited: Broker) -> None:
        await queue(unlimited, [outgoing("a", bot_id=1), outgoing("b", bot_id=2)])

        assert await leased_ids(unlimited) == ["a", "b"]

    async def test_a_higher_priority_overtakes_in_the_same_chat(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", priority=LOW), outgoing("b", priority=HIGH)])

        sent = await send_all(unlimited, clock, for_ms=1)

        assert [message_id for _, message_id in sent] == ["b", "a"]

    async def test_a_message_that_is_tried_again_stays_before_those_behind_it(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(3, chat_id=7))
        await settle(unlimited, await lease(unlimited), Again(delay_ms=500))

        clock.advance(499)
        too_early = await leased_ids(unlimited)
        clock.advance(1)
        sent = await send_all(unlimited, clock, for_ms=1)

        assert too_early == []
        assert [message_id for _, message_id in sent] == ["m0000", "m0001", "m0002"]

    async def test_a_backoff_holds_its_lane_and_not_the_whole_chat(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=7))
        await settle(unlimited, await lease(unlimited), Again(delay_ms=500))

        await queue(unlimited, [outgoing("urgent", priority=HIGH)])

        assert await leased_ids(unlimited) == ["urgent"]

    async def test_an_attempt_is_counted_when_it_is_spent(self, unlimited: Broker) -> None:
        await queue(unlimited, many(1))
        for then in (Again(0), Again(0, spent=False), Again(0)):
            await settle(unlimited, await lease(unlimited), then)

        (last,) = await lease(unlimited)

        assert last.attempt == 3

    async def test_a_message_read_back_goes_on_with_its_attempts_and_its_backoff(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        tried = outgoing("a", chat_id=7, attempt=2, ready_at_ms=clock() + 500)
        await unlimited.admit([tried, outgoing("b", chat_id=7)], worker_id="start", slots=0, capped=False)

        clock.advance(499)
        too_early = await leased_ids(unlimited)
        clock.advance(1)
        (first,) = await lease(unlimited)

        assert too_early == []
        assert (first.message.id, first.attempt) == ("a", 3)

    # Shares

    async def test_priorities_share_sixteen_to_four_to_one(self, unlimited: Broker) -> None:
        for priority in Priority:
            await queue(unlimited, many(200, prefix=priority, priority=priority))

        leases = [(await lease(unlimited, slots=1))[0] for _ in range(210)]

        counts = Counter(each.message.priority for each in leases)
        assert counts == {HIGH: 160, NORMAL: 40, LOW: 10}

    async def test_priorities_share_places_and_not_messages(self, unlimited: Broker) -> None:
        costs = {HIGH: 2, NORMAL: 4, LOW: 1}
        for priority, cost in costs.items():
            messages = many(200, prefix=priority, priority=priority)
            await queue(unlimited, [structs.replace(message, cost=cost) for message in messages])

        leases = [(await lease(unlimited, slots=1))[0] for _ in range(80 + 10 + 10)]

        places: Counter[Priority] = Counter()
        for each in leases:
            places[each.message.priority] += each.message.cost
        assert places == {HIGH: 160, NORMAL: 40, LOW: 10}

    async def test_low_goes_on_behind_an_endless_stream_of_high(self, unlimited: Broker) -> None:
        await queue(unlimited, many(10, prefix="low", priority=LOW))

        ids = []
        for n in range(100):
            await queue(unlimited, many(2, prefix=f"high{n:03}-", priority=HIGH))
            leases = await lease(unlimited, slots=1)
            await settle(unlimited, leases)
            ids += [each.message.id for each in leases]

        assert 4 <= sum(message_id.startswith("low") for message_id in ids) <= 7

    async def test_bots_take_turns(self, unlimited: Broker) -> None:
        for bot_id, count in ((1, 20), (2, 3)):
            await queue(unlimited, many(count, prefix=f"bot{bot_id}-", bot_id=bot_id))

        assert [message_id[3] for message_id in await leased_ids(unlimited, slots=8)] == [*"12121211"]

    async def test_a_bot_of_weight_three_gets_three_turns_for_one(self, unlimited: Broker) -> None:
        await unlimited.weigh(1, 3)
        for bot_id in (1, 2):
            await queue(unlimited, many(60, prefix=f"bot{bot_id}-", bot_id=bot_id))

        leases = await lease(unlimited, slots=40)

        assert Counter(each.message.bot_id for each in leases) == {1: 30, 2: 10}

    async def test_a_weight_acts_while_messages_wait(self, unlimited: Broker) -> None:
        for bot_id in (1, 2):
            await queue(unlimited, many(60, prefix=f"bot{bot_id}-", bot_id=bot_id))
        await lease(unlimited, slots=2)

        await unlimited.weigh(1, 3)
        leases = await lease(unlimited, slots=40)

        assert abs(Counter(each.message.bot_id for each in leases)[1] - 30) <= 1

    async def test_chats_of_a_bot_take_turns(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(4, prefix="a", chat_id=1))
        await queue(unlimited, many(2, prefix="b", chat_id=2))

        sent = await send_all(unlimited, clock, for_ms=1)

        assert [message_id[0] for _, message_id in sent] == [*"ababaa"]

    async def test_a_newcomer_does_not_claim_the_turns_it_missed(self, unlimited: Broker) -> None:
        await queue(unlimited, many(60, prefix="bot1-", bot_id=1))
        await lease(unlimited, slots=40)

        await queue(unlimited, many(60, prefix="bot2-", bot_id=2))
        leases = await lease(unlimited, slots=10)

        assert abs(Counter(each.message.bot_id for each in leases)[2] - 5) <= 1

    async def test_an_album_counts_as_as_many_turns_as_it_has_items(self, unlimited: Broker) -> None:
        albums = [outgoing(f"a{n}", bot_id=1, chat_id=n + 1, cost=10) for n in range(5)]
        await queue(unlimited, [*albums, *many(40, bot_id=2)])

        leases = await lease(unlimited, slots=22)

        assert Counter(each.message.bot_id for each in leases) == {1: 2, 2: 20}

    async def test_a_bot_that_was_paused_for_long_does_not_claim_the_turns_it_missed(self, unlimited: Broker) -> None:
        for bot_id in (1, 2):
            await queue(unlimited, many(150, prefix=f"bot{bot_id}-", bot_id=bot_id))
        await unlimited.pause(2, paused=True)
        for _ in range(2):
            await lease(unlimited)

        await unlimited.pause(2, paused=False)
        leases = await lease(unlimited, slots=50)

        assert Counter(each.message.bot_id for each in leases)[1] >= (50 - 18) // 2

    # Hold

    async def test_telegram_asking_us_to_wait_is_obeyed_to_the_millisecond(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a"), outgoing("b", priority=HIGH), outgoing("c", chat_id=8)])
        leases = await lease(unlimited)
        throttled = [each for each in leases if each.message.chat_id == 7]

        (answer,) = await settle(unlimited, throttled, HoldChat(retry_after_ms=7_000))
        clock.advance(6_999)
        too_early = await leased_ids(unlimited)
        clock.advance(1)

        assert answer == Settled(held=True, holds=(Hold(1, 7, START_MS + 7_000),))
        assert too_early == []
        assert await leased_ids(unlimited) == ["b"]

    async def test_being_throttled_spends_no_attempt(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(1))
        for _ in range(5):
            await settle(unlimited, await lease(unlimited), HoldChat(retry_after_ms=1_000))
            clock.advance(1_000)

        (last,) = await lease(unlimited)

        assert last.attempt == 1

    async def test_a_later_hold_replaces_an_earlier_one_and_never_the_other_way_round(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(1, chat_id=7))
        await unlimited.hold([Hold(1, 7, clock() + 2_000), Hold(1, None, clock() + 3_000)])
        await unlimited.hold([Hold(1, 7, clock() + 1_000), Hold(1, None, clock() + 1_000)])

        clock.advance(2_999)
        too_early = await leased_ids(unlimited)
        clock.advance(1)

        assert too_early == []
        assert await leased_ids(unlimited) == ["m0000"]

    async def test_two_chats_throttled_within_two_seconds_hold_the_bot(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(3))
        one, two = await lease(unlimited, slots=2)
        await settle(unlimited, [one], HoldChat(5_000))
        clock.advance(2_000)

        (answer,) = await settle(unlimited, [two], HoldChat(9_000))

        assert answer.holds == (Hold(1, 2, clock() + 9_000), Hold(1, None, clock() + 9_000))
        assert await leased_ids(unlimited) == []

    async def test_two_chats_throttled_further_apart_do_not_hold_the_bot(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(3))
        one, two = await lease(unlimited, slots=2)
        await settle(unlimited, [one], HoldChat(5_000))
        clock.advance(2_001)

        (answer,) = await settle(unlimited, [two], HoldChat(9_000))

        assert answer.holds == (Hold(1, 2, clock() + 9_000),)
        assert await leased_ids(unlimited) == ["m0002"]

    async def test_one_chat_throttled_twice_does_not_hold_the_bot(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(2))
        for _ in range(2):
            (mine,) = await lease(unlimited, slots=1)
            await settle(unlimited, [mine], HoldChat(500))
            clock.advance(500)

        assert len(await lease(unlimited)) == 2

    async def test_one_chat_throttled_under_two_names_does_not_hold_the_bot(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a", chat_id="@news")])
        await settle(unlimited, await lease(unlimited), HoldChat(500))
        await unlimited.migrate(1, "@news", -5)
        clock.advance(500)

        (answer,) = await settle(unlimited, await lease(unlimited), HoldChat(9_000))
        await queue(unlimited, [outgoing("b", chat_id=3)])

        assert answer.holds == (Hold(1, -5, clock() + 9_000),)
        assert await leased_ids(unlimited) == ["b"]

    async def test_chats_near_their_own_limit_do_not_hold_the_bot(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, group=Limit(1, 60_000)))
        await queue(broker, [outgoing("a", chat_id=-1), outgoing("b", chat_id=-2), outgoing("c", chat_id=3)])
        one, two = await lease(broker, slots=2)

        answers = await settle(broker, [one, two], HoldChat(9_000))

        assert [len(answer.holds) for answer in answers] == [1, 1]
        assert await leased_ids(broker) == ["c"]

    async def test_after_a_429_that_we_cannot_explain_places_stay_taken_longer_for_a_minute(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000), guard_ms=25))
        await queue(broker, many(3, priority=HIGH))
        await settle(broker, await lease(broker), HoldChat(1), age_ms=None)
        clock.advance(1)
        await settle(broker, await lease(broker))

        clock.advance(1_025)
        too_early = await leased_ids(broker)
        clock.advance(1)
        in_time = await lease(broker)
        clock.advance(60_000)
        await settle(broker, in_time)
        clock.advance(1_001)

        assert too_early == []
        assert len(in_time) == 1
        assert len(await lease(broker)) == 1

    async def test_a_throttled_call_of_no_chat_holds_the_bot(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", chat_id=None), outgoing("b", chat_id=2)])
        (mine,) = await lease(unlimited, slots=1)

        (answer,) = await settle(unlimited, [mine], HoldChat(1_000))

        assert answer.holds == (Hold(1, None, clock() + 1_000),)
        assert await leased_ids(unlimited) == []

    # One holder

    async def test_a_lease_names_its_worker_its_deadline_and_its_attempt(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(1))

        (mine,) = await lease(unlimited)

        assert (mine.worker_id, mine.expires_at_ms, mine.attempt) == ("worker", clock() + LEASE_MS, 1)
        assert mine.incarnation == unlimited.incarnation

    async def test_a_lease_is_settled_once(self, unlimited: Broker) -> None:
        await queue(unlimited, many(1))
        leases = await lease(unlimited)

        answers = [(await settle(unlimited, leases))[0] for _ in range(2)]

        assert answers == [Settled(held=True), Settled(held=False)]

    async def test_a_worker_that_lost_its_lease_can_no_longer_settle_it(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(1))
        (mine,) = await lease(unlimited)
        clock.advance(LEASE_MS)
        (recovered,) = await unlimited.recover(worker_id="recoverer", slots=1)

        (of_the_old,) = await settle(unlimited, [mine])
        (of_the_new,) = await settle(unlimited, [recovered])

        assert recovered.number > mine.number
        assert (recovered.worker_id, recovered.attempt) == ("recoverer", 1)
        assert (of_the_old.held, of_the_new.held) == (False, True)

    async def test_a_lease_of_another_incarnation_is_refused(self, unlimited: Broker) -> None:
        await queue(unlimited, many(1))
        (mine,) = await lease(unlimited)
        foreign = structs.replace(mine, incarnation=mine.incarnation + 1)

        assert (await settle(unlimited, [foreign]))[0].held is False
        assert await unlimited.extend([foreign], by_ms=1) == [False]

    async def test_numbers_rise_with_every_lease(self, unlimited: Broker) -> None:
        await queue(unlimited, many(3))
        leases = await lease(unlimited)
        await settle(unlimited, leases[:1], Again(0))

        numbers = [each.number for each in (*leases, *await lease(unlimited))]

        assert numbers == sorted(set(numbers))

    async def test_a_lease_that_ran_out_can_be_settled_while_nobody_else_has_it(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(1))
        leases = await lease(unlimited)
        clock.advance(LEASE_MS * 2)

        (answer,) = await settle(unlimited, leases)

        assert answer.held

    async def test_an_extended_lease_is_not_recovered_before_its_new_deadline(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(1))
        leases = await lease(unlimited)
        extended = await unlimited.extend(leases, by_ms=LEASE_MS + 1)

        clock.advance(LEASE_MS)
        too_early = await unlimited.recover(worker_id="recoverer", slots=1)
        clock.advance(1)

        assert extended == [True]
        assert too_early == []
        assert len(await unlimited.recover(worker_id="recoverer", slots=1)) == 1

    async def test_a_lost_lease_cannot_be_extended(self, unlimited: Broker) -> None:
        await queue(unlimited, many(1))
        leases = await lease(unlimited)
        await settle(unlimited, leases)

        assert await unlimited.extend(leases, by_ms=1_000) == [False]

    async def test_a_recovered_message_keeps_its_places_and_its_chat(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        await queue(broker, many(2, chat_id=7))
        await lease(broker)
        clock.advance(LEASE_MS)

        recovered = await broker.recover(worker_id="recoverer", slots=10)

        assert len(recovered) == 1
        assert await leased_ids(broker) == []

    async def test_the_longest_lost_lease_is_recovered_first(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(3))
        leases = await lease(unlimited)
        await unlimited.extend(leases[:1], by_ms=LEASE_MS + 5)
        clock.advance(LEASE_MS + 5)

        recovered = await unlimited.recover(worker_id="recoverer", slots=2)

        assert [each.message.id for each in recovered] == ["m0001", "m0002"]

    # Nothing lost

    async def test_the_same_id_is_admitted_once(self, unlimited: Broker) -> None:
        (message,) = many(1)
        twice = await unlimited.admit([message, message], worker_id="intake", slots=0)
        await lease(unlimited)
        while_leased = await unlimited.admit([message], worker_id="intake", slots=1)

        assert twice.verdicts == (Queued(), Duplicate())
        assert while_leased.verdicts == (Duplicate(),)
        assert while_leased.leased.leases == ()

    async def test_it_knows_what_waits_or_is_leased_and_forgets_what_is_done(self, unlimited: Broker) -> None:
        await queue(unlimited, many(3))
        leases = await lease(unlimited, slots=2)
        await settle(unlimited, leases[:1])

        assert await unlimited.knows(["m0000", "m0001", "m0002", "m0003"]) == [False, True, True, False]

    async def test_every_message_counts_once(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [*many(2), outgoing("later", priority=LOW, chat_id=50, ready_at_ms=clock() + 1)])
        await queue(unlimited, many(1, prefix="bot2-", bot_id=2, priority=HIGH))
        leases = await lease(unlimited)
        await settle(unlimited, [each for each in leases if each.message.id == "m0001"], Again(1_000))

        stats = await unlimited.stats()

        assert dict(stats.waiting) == {HIGH: 1, NORMAL: 1, LOW: 1}
        assert (stats.retry, stats.leased) == (1, 2)
        assert dict(stats.bots) == {1: 3, 2: 1}

    async def test_a_message_that_is_tried_again_counts_under_its_priority_while_it_is_leased(
        self, unlimited: Broker
    ) -> None:
        await queue(unlimited, many(1))
        await settle(unlimited, await lease(unlimited), Again(0))
        waiting = await unlimited.stats()
        await lease(unlimited)
        leased = await unlimited.stats()

        assert (waiting.retry, waiting.waiting[NORMAL]) == (1, 0)
        assert (leased.retry, leased.waiting[NORMAL]) == (0, 1)

    async def test_a_start_may_give_any_number_of_holds_and_past_sends(self, unlimited: Broker, clock: Clock) -> None:
        count = BATCH_MAX * 2
        await queue(unlimited, many(count))

        await unlimited.hold([Hold(1, n + 1, clock() + 500) for n in range(count)])
        await unlimited.restore([PastSend(1, n + 1, clock(), 1) for n in range(count)], wait_until_ms={})

        assert await wake_in_ms(unlimited, clock) == 500

    @pytest.mark.parametrize("verb", ["admit", "settle", "extend", "cancel", "knows"])
    async def test_more_than_a_batch_is_refused(self, unlimited: Broker, verb: str) -> None:
        messages = many(BATCH_MAX + 1)
        leases = [Lease(message, 1, "worker", unlimited.incarnation, 1, 0) for message in messages]
        calls: dict[str, Callable[[], Coroutine[None, None, object]]] = {
            "admit": lambda: unlimited.admit(messages, worker_id="intake", slots=0),
            "settle": lambda: settle(unlimited, leases),
            "extend": lambda: unlimited.extend(leases, by_ms=1),
            "cancel": lambda: unlimited.cancel([message.id for message in messages]),
            "knows": lambda: unlimited.knows([message.id for message in messages]),
        }

        with pytest.raises(ValueError, match=str(BATCH_MAX)):
            await calls[verb]()

        assert sum((await unlimited.stats()).waiting.values()) == 0

    # Times

    async def test_a_scheduled_message_leaves_at_its_time_and_not_before(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", ready_at_ms=clock() + 500), outgoing("b")])

        now = await lease(unlimited)
        await settle(unlimited, now)
        clock.advance(499)
        too_early = await leased_ids(unlimited)
        clock.advance(1)

        assert [each.message.id for each in now] == ["b"]
        assert too_early == []
        assert await leased_ids(unlimited) == ["a"]

    async def test_an_expired_message_is_reported_once_and_never_leased(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() + 500), outgoing("b")])
        await unlimited.hold([Hold(1, 7, clock() + 500)])
        clock.advance(500)

        first = await unlimited.lease(worker_id="worker", slots=1)
        second = await unlimited.lease(worker_id="worker", slots=1)

        assert [message.id for message in first.expired] == ["a"]
        assert [each.message.id for each in first.leases] == ["b"]
        assert second.expired == ()

    async def test_a_message_may_go_until_the_millisecond_before_it_expires(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() + 500)])
        clock.advance(499)

        assert await leased_ids(unlimited) == ["a"]

    async def test_a_scheduled_message_can_expire(self, unlimited: Broker, clock: Clock) -> None:
        later = outgoing("a", ready_at_ms=clock() + 900, expires_at_ms=clock() + 500)
        admission = await unlimited.admit([later], worker_id="intake", slots=1)
        clock.advance(500)

        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert admission.leased.wake_at_ms == clock()
        assert [message.id for message in leased.expired] == ["a"]

    async def test_a_leased_message_does_not_expire(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() + 500)])
        leases = await lease(unlimited)
        clock.advance(500)

        while_leased = await unlimited.lease(worker_id="worker", slots=1)
        await settle(unlimited, leases, Again(0))
        afterwards = await unlimited.lease(worker_id="worker", slots=1)

        assert while_leased.expired == ()
        assert [message.id for message in afterwards.expired] == ["a"]
        assert afterwards.leases == ()

    async def test_who_only_queues_finds_nothing_expired_and_leaves_it_to_the_next_who_leases(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() - 1)])
        queued = await unlimited.admit([outgoing("b", chat_id=8)], worker_id="", slots=0)

        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert (queued.leased.expired, queued.leased.wake_at_ms) == ((), clock())
        assert [message.id for message in leased.expired] == ["a"]

    async def test_an_expired_message_tells_how_many_attempts_it_spent(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() + 500)])
        await settle(unlimited, await lease(unlimited), Again(0))
        clock.advance(500)

        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert [(message.id, message.attempt) for message in leased.expired] == [("a", 1)]

    async def test_when_a_whole_backlog_expires_none_of_it_is_sent(self, unlimited: Broker, clock: Clock) -> None:
        backlog = [structs.replace(message, expires_at_ms=clock() + 500) for message in many(BATCH_MAX + 10)]
        await queue(unlimited, backlog)
        clock.advance(600)

        first = await unlimited.lease(worker_id="worker", slots=BATCH_MAX)
        second = await unlimited.lease(worker_id="worker", slots=BATCH_MAX)

        assert (len(first.expired), len(first.leases), first.wake_at_ms) == (BATCH_MAX, 0, clock())
        assert (len(second.expired), len(second.leases), second.wake_at_ms) == (10, 0, None)

    async def test_it_tells_to_the_millisecond_when_something_can_go(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(4, chat_id=-100, priority=HIGH))
        nothing_settled = await wake_in_ms(broker, clock)
        await broker.hold([Hold(1, -100, clock() + 700)])
        await settle(broker, await lease(broker))
        held = await wake_in_ms(broker, clock)

        assert nothing_settled is None
        assert held is None or held == 700

    @pytest.mark.parametrize(
        ("limits", "wake_ms"),
        [
            (Limits(ceiling=NONE, bot=Limit(1, 1_000), saved_up=1), 1_001),
            (Limits(ceiling=Limit(1, 700), bot=NONE), 701),
            (Limits(ceiling=NONE, bot=NONE, chat=Limit(1, 300, burst=1)), 301),
            (Limits(ceiling=NONE, bot=NONE, chat=Limit(1, 60_000)), 60_001),
        ],
    )
    async def test_each_limit_tells_when_its_next_place_is_free(
        self, make: MakeBroker, clock: Clock, limits: Limits, wake_ms: int
    ) -> None:
        broker = make(limits)
        await queue(broker, many(2, chat_id=7, priority=HIGH))
        await settle(broker, await lease(broker))

        assert await wake_in_ms(broker, clock) == wake_ms

    async def test_a_hold_a_backoff_and_a_schedule_tell_when_they_end(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", bot_id=1), outgoing("b", bot_id=2)])
        await settle(unlimited, await lease(unlimited), Again(900))
        backoff = await wake_in_ms(unlimited, clock)
        await queue(unlimited, [outgoing("c", bot_id=3)])
        await unlimited.hold([Hold(3, None, clock() + 800)])
        hold = await wake_in_ms(unlimited, clock)
        await queue(unlimited, [outgoing("d", bot_id=4, ready_at_ms=clock() + 700)])

        assert (backoff, hold, await wake_in_ms(unlimited, clock)) == (900, 800, 700)

    async def test_when_slots_run_out_it_says_come_back_at_once(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(2))

        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert leased.wake_at_ms == clock()

    async def test_with_nothing_waiting_only_an_event_can_wake(self, unlimited: Broker, clock: Clock) -> None:
        assert await wake_in_ms(unlimited, clock) is None

    async def test_waiting_ends_at_its_time(self, unlimited: Broker, clock: Clock) -> None:
        await lease(unlimited)

        async with asyncio.timeout(5):
            await unlimited.wait(until_ms=clock())

    async def test_waiting_ends_when_something_may_go(self, unlimited: Broker) -> None:
        await lease(unlimited)
        waiting = asyncio.create_task(unlimited.wait(until_ms=None))
        await asyncio.sleep(0)

        await queue(unlimited, many(1))

        async with asyncio.timeout(5):
            await waiting

    async def test_what_happened_between_the_lease_and_the_wait_is_not_missed(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=7))
        leases = await lease(unlimited)
        await settle(unlimited, leases)

        async with asyncio.timeout(5):
            await unlimited.wait(until_ms=None)

    # Changes

    async def test_a_waiting_message_can_be_cancelled_and_a_leased_one_cannot(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [*many(2, chat_id=7), outgoing("later", ready_at_ms=clock() + 1_000)])
        leases = await lease(unlimited)

        answers = await unlimited.cancel(["m0000", "m0001", "later", "unknown"])
        await settle(unlimited, leases)
        clock.advance(1_000)

        assert answers == [False, True, True, False]
        assert await leased_ids(unlimited) == []

    async def test_a_paused_bot_takes_messages_and_sends_none_until_it_goes_on(self, unlimited: Broker) -> None:
        await unlimited.pause(1, paused=True)
        await queue(unlimited, many(2))
        paused = await leased_ids(unlimited)

        await unlimited.pause(1, paused=False)

        assert paused == []
        assert await leased_ids(unlimited) == ["m0000", "m0001"]

    async def test_a_dead_token_pauses_its_bot_and_keeps_the_message(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=7))
        await settle(unlimited, await lease(unlimited), PauseBot())
        paused = await leased_ids(unlimited)

        await unlimited.pause(1, paused=False)
        (first,) = await lease(unlimited)

        assert paused == []
        assert (first.message.id, first.attempt) == ("m0000", 1)

    @pytest.mark.parametrize("limits", [replace(UNLIMITED, chat_cap=2), replace(UNLIMITED, chat_cap=2, bot_cap=2)])
    async def test_a_chat_with_too_much_waiting_refuses_more(self, make: MakeBroker, limits: Limits) -> None:
        broker = make(limits)

        admission = await broker.admit(many(3, chat_id=7), worker_id="intake", slots=0)

        assert admission.verdicts == (Queued(), Queued(), Refused(1, 7, 2))

    async def test_a_bot_with_too_much_waiting_refuses_more(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot_cap=2))
        await queue(broker, [outgoing("later", ready_at_ms=clock() + 1_000)])

        admission = await broker.admit(many(2), worker_id="intake", slots=0)
        of_another_bot = await broker.admit(many(1, prefix="bot2-", bot_id=2), worker_id="intake", slots=0)

        assert admission.verdicts == (Queued(), Refused(1, None, 2))
        assert of_another_bot.verdicts == (Queued(),)

    async def test_the_cap_of_a_chat_is_not_for_calls_of_no_chat(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, chat_cap=1, bot_cap=2))
        calls = [outgoing(f"{n}", chat_id=None) for n in range(3)]

        admission = await broker.admit(calls, worker_id="intake", slots=0)

        assert admission.verdicts == (Queued(), Queued(), Refused(1, None, 2))

    async def test_what_was_leased_makes_room_for_more(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, chat_cap=1))
        await queue(broker, many(1, chat_id=7))
        await lease(broker)

        admission = await broker.admit([outgoing("next")], worker_id="intake", slots=0)

        assert admission.verdicts == (Queued(),)

    async def test_what_was_accepted_before_is_not_refused(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, chat_cap=1, bot_cap=1))

        admission = await broker.admit(many(3, chat_id=7), worker_id="start", slots=0, capped=False)

        assert set(admission.verdicts) == {Queued()}

    # One chat, one name

    async def test_migration_moves_the_windows(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, group=Limit(2, 60_000)))
        await queue(broker, many(1, prefix="old", chat_id=-1))
        await queue(broker, many(2, prefix="new", chat_id=-2))
        await settle(broker, await lease(broker))

        await broker.migrate(1, -1, -2)

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 60_001

    async def test_migration_moves_what_waits_and_keeps_the_order(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", chat_id=-2), outgoing("b", chat_id=-1), outgoing("c", chat_id=-2)])

        await unlimited.migrate(1, -1, -2)
        sent = await send_all(unlimited, clock, for_ms=1)

        assert [message_id for _, message_id in sent] == ["a", "b", "c"]

    async def test_migration_moves_holds(self, unlimited: Broker, clock: Clock) -> None:
        await unlimited.hold([Hold(1, -1, clock() + 1_000)])
        await queue(unlimited, [outgoing("a", chat_id=-2)])

        await unlimited.migrate(1, -1, -2)

        assert await wake_in_ms(unlimited, clock) == 1_000

    async def test_migration_moves_a_backoff(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(1, chat_id=-1))
        await settle(unlimited, await lease(unlimited), Again(700))

        await unlimited.migrate(1, -1, -2)

        assert await wake_in_ms(unlimited, clock) == 700

    async def test_migration_moves_what_is_in_flight(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, group=Limit(1, 60_000)))
        await queue(broker, [outgoing("a", chat_id=-1), outgoing("b", chat_id=-2)])
        leases = await lease(broker, slots=1)

        await broker.migrate(1, -1, -2)
        while_in_flight = await leased_ids(broker)
        await settle(broker, leases)

        assert while_in_flight == []
        assert await wake_in_ms(broker, clock) == 60_001

    async def test_what_comes_for_the_old_name_later_goes_to_the_new_one(self, unlimited: Broker) -> None:
        await unlimited.migrate(1, "@news", -5)
        await unlimited.migrate(1, -5, -6)
        await queue(unlimited, [outgoing("a", chat_id=-6), outgoing("b", chat_id="@news")])

        assert await leased_ids(unlimited) == ["a"]

    async def test_what_waited_for_the_old_id_is_sent_to_the_new_one(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=-1))
        await settle(unlimited, await lease(unlimited), MoveChat(-2))
        await queue(unlimited, [outgoing("z", chat_id=-1)])

        for _ in range(3):
            (mine,) = await lease(unlimited)
            assert mine.message.chat_id == -2
            await settle(unlimited, [mine])

    async def test_a_message_that_found_its_chat_moved_goes_first_and_spends_no_attempt(
        self, unlimited: Broker
    ) -> None:
        await queue(unlimited, many(2, chat_id=-1))
        await settle(unlimited, await lease(unlimited), MoveChat(-2))

        (first,) = await lease(unlimited)

        assert (first.message.id, first.attempt) == ("m0000", 1)

    # After a restart

    async def test_places_taken_before_a_restart_are_still_taken(self, broker: Broker, clock: Clock) -> None:
        sends = [PastSend(1, -100, clock() - 59_000, cost=1)] * 20
        await broker.restore(sends, wait_until_ms={})

        await queue(broker, many(1, chat_id=-100))

        assert await wake_in_ms(broker, clock) == 1_001

    async def test_a_burst_that_was_spent_before_a_restart_is_spent_however_many_others_were_sent_in_between(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        """Found by a run in which Redis was emptied: each send had drained by itself when the next was restored."""
        broker = make(replace(UNLIMITED, chat=Limit(1, 1_000, burst=3)))
        spent = [PastSend(1, 7, clock() - 6_000, cost=3)]
        steady = [PastSend(1, 7, clock() - ago_ms, cost=1) for ago_ms in range(5_000, 0, -1_000)]
        others = [PastSend(1, 1_000 + n, clock() - 6_000 + 20 * n, cost=1) for n in range(300)]
        oldest_first = sorted([*spent, *steady, *others], key=lambda send: send.counted_at_ms)
        await broker.restore(oldest_first, wait_until_ms={})

        await queue(broker, many(4, chat_id=7))

        assert len(await send_all(broker, clock, for_ms=900)) == 1

    async def test_what_was_admitted_before_the_past_sends_were_known_waits_for_their_places(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue(broker, many(1, chat_id=-100))
        await broker.restore([PastSend(1, -100, clock(), cost=1)] * 20, wait_until_ms={})

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 60_001

    async def test_a_send_longer_ago_than_its_window_takes_no_place(self, broker: Broker, clock: Clock) -> None:
        await broker.restore([PastSend(1, -100, clock() - 60_001, cost=1)] * 20, wait_until_ms={})

        await queue(broker, many(1, chat_id=-100))

        assert await leased_ids(broker) == ["m0000"]

    async def test_after_a_restart_a_bot_waits_until_its_time(self, unlimited: Broker, clock: Clock) -> None:
        await unlimited.restore([], wait_until_ms={1: clock() + 1_000})
        await queue(unlimited, [outgoing("a", bot_id=1), outgoing("b", bot_id=2)])

        assert await leased_ids(unlimited) == ["b"]
        assert await wake_in_ms(unlimited, clock) == 1_000

    # A call that a rebuilt schedule has missed

    async def test_a_place_that_is_noted_late_is_taken_from_the_time_at_which_it_was_counted(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue(broker, [outgoing("before", chat_id=-5)])
        await settle(broker, await lease(broker))
        await queue(broker, many(3, chat_id=-100))

        await broker.note([PastSend(1, -100, clock() - 59_000, cost=1)] * 20)

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 1_001

    async def test_a_place_that_is_noted_while_its_chat_has_one_in_flight_frees_nothing(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, bot=NONE, chat=Limit(2, 1_000), guard_ms=0))
        await queue(broker, many(3, chat_id=7))
        (first,) = await lease(broker, 1)

        await broker.note([PastSend(1, 7, clock(), cost=1)])
        await settle(broker, [first])

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 1_001

    async def test_what_a_late_note_says_was_paid_for_is_spent(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5, DAY_MS)))

        await broker.note([], spent=[Spent(1, clock() - 3_600_000, 4)])

        assert (await broker.stats()).paid == {1: 4}

    # Explain

    async def test_a_message_that_is_scheduled_says_until_when(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", ready_at_ms=clock() + 5_000)])

        assert await explained(unlimited, clock, "a") == (WaitsAt.SCHEDULED, 0, 0, 5_000)

    async def test_a_message_says_at_which_gate_its_lane_waits(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, group=Limit(2, 60_000)))
        await queue(broker, many(7, chat_id=-1))
        assert await waits_at(broker, "m0000") is WaitsAt.TURN

        (first,) = await lease(broker)
        in_flight = await waits_at(broker, "m0001")
        await settle(broker, [first], Again(700))
        backoff = await waits_at(broker, "m0001")
        clock.advance(700)
        await settle(broker, await lease(broker), HoldChat(800))
        held = await waits_at(broker, "m0001")
        clock.advance(800)
        await send_all(broker, clock, for_ms=10)
        full = await waits_at(broker, "m0006")

        expected = (WaitsAt.CHAT_IN_FLIGHT, WaitsAt.BACKOFF, WaitsAt.CHAT_HELD, WaitsAt.CHAT_WINDOW)
        assert (in_flight, backoff, held, full) == expected

    async def test_a_message_says_at_which_gate_its_bot_waits(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(4, 1_000), saved_up=2))
        await queue(broker, many(6))
        await lease(broker)
        spaced = await waits_at(broker, "m0005")
        await queue(broker, many(3, prefix="h", priority=HIGH))
        await lease(broker)
        full = await waits_at(broker, "h0002")
        await broker.hold([Hold(1, None, clock() + 900)])
        held = await waits_at(broker, "h0002")
        await broker.pause(1, paused=True)

        assert (spaced, full, held) == (WaitsAt.SPACING, WaitsAt.BOT_WINDOW, WaitsAt.BOT_HELD)
        assert await explained(broker, clock, "h0002") == (WaitsAt.BOT_PAUSED, 0, 0, None)

    async def test_a_message_says_that_the_ceiling_keeps_it_back(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(1, 1_000)))
        await queue(broker, many(2, priority=HIGH))
        await lease(broker)

        assert await waits_at(broker, "m0001") is WaitsAt.CEILING

    async def test_a_message_says_how_many_go_before_it_and_when_it_goes_at_the_earliest(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, group=Limit(20, 60_000)))
        await queue(broker, [*many(50, chat_id=-1, priority=HIGH), *many(3, prefix="o", chat_id=-2, priority=HIGH)])

        told = await explained(broker, clock, "m0045")
        sent = {message_id: at_ms for at_ms, message_id in await send_all(broker, clock, for_ms=200_000)}

        assert told == (WaitsAt.TURN, 45, 48, 120_000)
        assert sent["m0045"] == 120_002  # each is taken to be counted at the end of its millisecond

    async def test_what_is_leased_or_unknown_has_nothing_to_explain(self, unlimited: Broker) -> None:
        await queue(unlimited, [outgoing("a")])
        await lease(unlimited)

        assert await unlimited.explain("a") is None
        assert await unlimited.explain("b") is None

    # Edits

    async def test_the_newest_edit_takes_the_place_of_the_one_that_waits(self, unlimited: Broker) -> None:
        await queue(unlimited, [edit("a"), outgoing("b")])

        admission = await unlimited.admit([edit("c")], worker_id="intake", slots=0)

        assert admission.verdicts == (Queued(instead_of=edit("a")),)
        assert await unlimited.knows(["a", "c"]) == [False, True]
        assert await one_by_one(unlimited) == ["c", "b"]
        assert sum((await unlimited.stats()).waiting.values()) == 0

    async def test_of_a_hundred_edits_at_once_one_is_left(self, unlimited: Broker) -> None:
        edits = [edit(f"e{number:02}") for number in range(BATCH_MAX)]

        admission = await unlimited.admit(edits, worker_id="intake", slots=0)

        replaced = [verdict.instead_of for verdict in admission.verdicts if isinstance(verdict, Queued)]
        assert replaced == [None, *edits[:-1]]
        assert await one_by_one(unlimited) == [edits[-1].id]

    @pytest.mark.parametrize(
        "other",
        [
            {"bot_id": 2},
            {"chat_id": 8},
            {"replaces": "edit:2"},
            {"replaces": None},
            {"method": "editMessageReplyMarkup"},
        ],
        ids=lambda other: next(iter(other)),
    )
    async def test_an_edit_of_something_else_replaces_nothing(self, unlimited: Broker, other: dict[str, Any]) -> None:
        await queue(unlimited, [edit("a"), structs.replace(edit("b"), **other)])

        assert await unlimited.knows(["a", "b"]) == [True, True]

    async def test_what_stands_between_two_edits_keeps_both(self, unlimited: Broker) -> None:
        """Replaced, the first text would bring the second one before the buttons, which it takes away."""
        await queue(unlimited, [edit("a"), edit("b", method="editMessageReplyMarkup"), edit("c")])

        assert await one_by_one(unlimited) == ["a", "b", "c"]

    async def test_an_edit_that_is_being_sent_is_not_replaced(self, unlimited: Broker) -> None:
        await queue(unlimited, [edit("a")])
        leases = await lease(unlimited)
        await queue(unlimited, [edit("b"), edit("c")])
        await settle(unlimited, leases, Again(0))

        assert await one_by_one(unlimited) == ["a", "c"]

    async def test_an_edit_that_waits_to_be_tried_again_is_replaced_and_its_lane_goes_on_waiting(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [edit("a")])
        await settle(unlimited, await lease(unlimited), Again(500))

        await queue(unlimited, [edit("b")])

        assert (await unlimited.stats()).retry == 0
        assert await send_all(unlimited, clock, for_ms=1_000) == [(500, "b")]

    async def test_a_replaced_edit_leaves_room_under_the_cap(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, chat_cap=1))
        await queue(broker, [edit("a"), edit("b")])

        admission = await broker.admit([outgoing("c")], worker_id="intake", slots=0)

        assert admission.verdicts == (Refused(1, 7, 1),)

    async def test_an_edit_keeps_the_higher_of_both_priorities(self, unlimited: Broker) -> None:
        await queue(unlimited, [edit("a", priority=HIGH), edit("b", priority=LOW)])
        await queue(unlimited, [edit("c", chat_id=8, priority=LOW), edit("d", chat_id=8, priority=HIGH)])

        assert {each.message.id: each.message.priority for each in await lease(unlimited)} == {"b": HIGH, "d": HIGH}

    async def test_an_older_edit_that_comes_late_is_told_that_it_is_replaced(self, unlimited: Broker) -> None:
        await queue(unlimited, [edit("b")])

        admission = await unlimited.admit([edit("a")], worker_id="intake", slots=0, capped=False)

        assert admission.verdicts == (Replaced(by="b"),)
        assert await one_by_one(unlimited) == ["b"]

    async def test_the_edits_of_what_was_deleted_are_dropped(self, unlimited: Broker) -> None:
        markup = edit("b", method="editMessageReplyMarkup")
        await queue(unlimited, [edit("a"), markup, edit("c", replaces="edit:2"), edit("d", chat_id=8)])

        dropped = await unlimited.drop(1, 7, "edit:1")

        assert dropped == [edit("a"), markup]
        assert sorted(await one_by_one(unlimited)) == ["c", "d"]
        assert await unlimited.drop(1, 7, "edit:1") == []

    async def test_an_edit_that_is_being_sent_is_not_dropped(self, unlimited: Broker) -> None:
        await queue(unlimited, [edit("a")])
        await lease(unlimited)

        assert await unlimited.drop(1, 7, "edit:1") == []

    async def test_a_migrated_chat_keeps_its_edits(self, unlimited: Broker) -> None:
        await queue(unlimited, [edit("a", chat_id=-5)])
        await unlimited.migrate(1, -5, -100)

        await queue(unlimited, [edit("b", chat_id=-5)])

        assert await one_by_one(unlimited) == ["b"]

    # Adaptive limits

    async def test_a_429_that_our_count_does_not_explain_lowers_its_chats_limit_until_it_has_recovered(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, group=Limit(10, 1_000), guard_ms=0))
        await queue(broker, many(60, chat_id=-1, priority=HIGH))

        await settle(broker, await lease(broker), HoldChat(500), age_ms=None)
        sent = await send_all(broker, clock, for_ms=5_000)

        # 7 of 10 while it is held; then one more for each window since the 429.
        assert busiest(sent, from_ms=500, to_ms=1_000) == 7
        assert busiest(sent, from_ms=2_000, to_ms=3_000) == 9
        assert busiest(sent, from_ms=4_000, to_ms=5_000) == 10

    async def test_a_second_chat_lowers_the_bots_limit_which_the_stats_show(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000)))
        await queue(broker, many(2, priority=HIGH))
        two = await lease(broker)

        await settle(broker, two, HoldChat(100))
        lowered = (await broker.stats()).adapted
        clock.advance(1_000)
        risen = (await broker.stats()).adapted
        clock.advance(2_000)

        assert (lowered, risen, (await broker.stats()).adapted) == ({1: 7}, {1: 8}, {})

    async def test_calls_that_were_under_way_together_lower_a_limit_once(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(40, 1_000)))
        await queue(broker, many(5, priority=HIGH))

        await settle(broker, await lease(broker), HoldChat(100))

        assert (await broker.stats()).adapted == {1: 28}

    async def test_a_limit_is_not_lowered_below_its_least(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000), adapt_least=0.5))
        await queue(broker, many(8, priority=HIGH))
        for _ in range(3):
            await settle(broker, await lease(broker, 2), HoldChat(999))
            clock.advance(999)
            await settle(broker, await lease(broker, 2), HoldChat(1))
            clock.advance(1)

        assert (await broker.stats()).adapted == {1: 5}

    async def test_a_429_that_our_count_explains_lowers_nothing(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, group=Limit(4, 60_000)))
        await queue(broker, many(8, chat_id=-1, priority=HIGH))
        for _ in range(3):
            await settle(broker, await lease(broker))

        await settle(broker, await lease(broker), HoldChat(100), age_ms=None)
        clock.advance(100)

        assert len(await one_by_one(broker)) == 1

    async def test_new_limits_forget_what_was_lowered(self, make: MakeBroker) -> None:
        limits = replace(UNLIMITED, bot=Limit(10, 1_000))
        broker = make(limits)
        await queue(broker, many(2, priority=HIGH))
        await settle(broker, await lease(broker), HoldChat(100))

        await broker.configure(replace(limits, version=2))

        assert (await broker.stats()).adapted == {}

    # Users

    async def test_a_user_makes_a_bot_say_so_much_and_no_more_in_all_chats(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, user=Limit(2, 60_000)))
        await queue(broker, [outgoing(f"m{n}", chat_id=n + 1, user_id=501, priority=HIGH) for n in range(3)])

        sent = await send_all(broker, clock, for_ms=70_000)

        assert sent == [(0, "m0"), (0, "m1"), (60_001, "m2")]

    async def test_one_user_keeps_back_neither_another_nor_another_bot_nor_what_nobody_asked_for(
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

    async def test_a_message_says_that_its_user_has_said_enough(self, make: MakeBroker, clock: Clock) -> None:
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

    # What is paid for

    async def test_a_bot_sends_a_thousand_paid_messages_a_second_and_not_one_more(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5_000, DAY_MS)))
        await queue(broker, paid(1_500))

        sent = await send_all(broker, clock, for_ms=1_500)

        assert busiest(sent, from_ms=0, to_ms=1_000) == 1_000
        assert len(sent) == 1_500

    async def test_paid_messages_take_no_place_of_the_free_ones_nor_the_other_way_round(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, paid=Limit(40, 1_000), purse=Limit(5_000, DAY_MS)))
        await queue(broker, paid(200))
        await queue(broker, many(200, prefix="free", priority=LOW))

        sent = await send_all(broker, clock, for_ms=999)

        free = [message_id for _, message_id in sent if message_id.startswith("free")]
        assert (len(free), len(sent) - len(free)) == (30, 40)

    async def test_a_free_message_that_must_wait_keeps_back_no_paid_one_of_its_priority(self, make: MakeBroker) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5_000, DAY_MS)))
        await queue(broker, many(10, prefix="a"))
        await queue(broker, [structs.replace(each, chat_id=n + 500) for n, each in enumerate(paid(10))])

        assert len([each for each in await leased_ids(broker) if each.startswith("paid")]) == 10

    async def test_paid_messages_keep_their_chats_limit_their_order_and_the_ceiling(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=Limit(50, 1_000), group=Limit(3, 60_000), purse=Limit(5_000, DAY_MS)))
        await queue(broker, [structs.replace(each, is_paid=n % 2 == 0) for n, each in enumerate(many(5, chat_id=-5))])
        await queue(broker, paid(200))

        sent = await send_all(broker, clock, for_ms=10_000)

        assert [each for _, each in sent if each.startswith("m")] == ["m0000", "m0001", "m0002"]
        assert busiest(sent, from_ms=0, to_ms=1_000) == 50

    async def test_when_the_purse_is_empty_paid_messages_go_as_free_ones_and_their_leases_say_so(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(3, DAY_MS)))
        await queue(broker, paid(6))

        leases = await lease(broker)
        await settle(broker, leases)
        clock.advance(1_000)
        more = await lease(broker)

        assert [each.message.is_paid for each in leases] == [True, True, True, False, False]
        assert [each.message.is_paid for each in more] == [False]
        assert (await broker.stats()).paid == {1: 3}

    async def test_what_is_spent_may_be_spent_again_a_window_later_to_the_minute(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(1, DAY_MS)))
        await queue(broker, paid(3))
        first = await lease(broker, 1)
        await settle(broker, first)

        clock.advance(DAY_MS)
        too_early = await lease(broker, 1)
        await settle(broker, too_early)
        clock.advance(60_000)

        pays = [each.message.is_paid for each in (*first, *too_early, *await lease(broker, 1))]
        assert pays == [True, False, True]

    async def test_a_paid_message_that_is_cancelled_leaves_its_turn_to_a_free_one(self, make: MakeBroker) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(1, DAY_MS)))
        await queue(broker, [*paid(1), *many(1, prefix="q", chat_id=500)])

        cancelled = await broker.cancel(["paid0000"])

        assert cancelled == [True]
        assert await leased_ids(broker) == ["q0000"]

    async def test_a_paid_call_that_never_left_costs_nothing(self, make: MakeBroker) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(1, DAY_MS)))
        await queue(broker, paid(1))

        await settle(broker, await lease(broker), Again(0), age_ms=None)

        assert (await broker.stats()).paid == {}
        assert [each.message.is_paid for each in await lease(broker)] == [True]

    async def test_an_album_that_costs_more_than_the_purse_has_left_goes_as_a_free_one(self, make: MakeBroker) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5, DAY_MS)))
        await queue(broker, [outgoing("album", cost=6, is_paid=True, priority=HIGH)])

        assert [each.message.is_paid for each in await lease(broker)] == [False]

    async def test_what_was_spent_before_a_restart_is_still_spent(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5, DAY_MS)))
        await queue(broker, paid(2))

        await broker.restore([], wait_until_ms={}, spent=[Spent(1, clock() - 3_600_000, 4)])

        assert [each.message.is_paid for each in await lease(broker)] == [True, False]

    async def test_a_paid_place_that_was_taken_before_a_restart_is_still_taken(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        one = Limit(1, 1_000)
        broker = make(Limits(ceiling=NONE, bot=one, paid=one, purse=Limit(5, DAY_MS)))

        await broker.restore([PastSend(1, 9, clock(), 1, is_paid=True)], wait_until_ms={})
        await queue(broker, [*paid(1), outgoing("free", chat_id=8)])

        assert await leased_ids(broker) == ["free"]

    async def test_a_429_of_a_paid_message_lowers_no_limit_of_its_bot(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5_000, DAY_MS)))
        await queue(broker, paid(3))

        await settle(broker, await lease(broker), HoldChat(1_000), age_ms=None)

        assert (await broker.stats()).adapted == {}

    async def test_a_paid_message_says_at_which_gate_it_waits(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, paid=Limit(1, 1_000), purse=Limit(2, DAY_MS)))
        await queue(broker, paid(3))
        await settle(broker, await lease(broker))

        in_paid_window = await waits_at(broker, "paid0001")
        clock.advance(1_001)
        await settle(broker, await lease(broker))

        assert in_paid_window is WaitsAt.BOT_WINDOW
        assert await broker.explain("paid0002") is None  # the purse is empty: it went as a free one, at once
