"""What waits takes another content and another time, unless it is too late."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import (
    KEPT_METHOD,
    KEPT_MS,
    PARKED_MS,
    Again,
    HoldChat,
    Lease,
    Outgoing,
    Rest,
    Settlement,
)
from tempogram.engine.ports import Broker, Duplicate, Queued, WaitsAt
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.contract.steps import (
    HIGH,
    LOW,
    UNLIMITED,
    MakeBroker,
    edit,
    lease,
    leased_ids,
    many,
    one_by_one,
    queue,
    send_all,
    settle,
)
from tests.fakes import Clock, outgoing

NEW = b'{"text":"new"}'


def new(message: Outgoing, *, ready_at_ms: int = 0) -> Outgoing:
    return structs.replace(message, params=NEW, ready_at_ms=ready_at_ms)


def ready(message: Outgoing) -> Outgoing:
    """Return an amendment of the time alone."""
    return structs.replace(message, method=KEPT_METHOD, params=b"", ready_at_ms=0)


def contents(leases: list[Lease]) -> list[tuple[str, bytes]]:
    return [(each.message.id, each.message.params) for each in leases]


class Amendments:
    async def test_a_parked_message_waits_until_it_is_amended(self, unlimited: Broker) -> None:
        parked, later = outgoing("a", ready_at_ms=PARKED_MS), outgoing("b")
        await queue(unlimited, [parked, later])

        leased = await unlimited.lease(worker_id="w", slots=5)
        explanation = await unlimited.explain("a")
        await settle(unlimited, list(leased.leases))
        amended = await unlimited.amend([structs.replace(parked, ready_at_ms=0)])

        assert [each.message.id for each in leased.leases] == ["b"]
        assert explanation is not None
        assert (explanation.waits_at, explanation.earliest_at_ms) == (WaitsAt.SCHEDULED, PARKED_MS)
        assert amended == [True]
        assert await leased_ids(unlimited) == ["a"]

    async def test_a_waiting_message_is_sent_with_its_new_content(self, unlimited: Broker) -> None:
        photo = outgoing("a", method="sendPhoto")
        await queue(unlimited, [photo])

        amended = await unlimited.amend([structs.replace(photo, method="sendDocument", params=NEW)])
        (leased,) = await lease(unlimited)

        assert amended == [True]
        assert leased.message == structs.replace(photo, method="sendDocument", params=NEW)

    async def test_a_leased_or_settled_or_unknown_message_is_not_amended(self, unlimited: Broker) -> None:
        a, b, c = many(3)
        await queue(unlimited, [a, b])
        leased_a, leased_b = await lease(unlimited)
        await settle(unlimited, [leased_b])

        assert await unlimited.amend([new(a), new(b), new(c)]) == [False, False, False]

        await settle(unlimited, [leased_a], Again(0))
        assert contents(await lease(unlimited)) == [(a.id, a.params)]
        assert await unlimited.knows([b.id, c.id]) == [False, False]

    async def test_of_messages_that_are_leased_meanwhile_those_that_were_amended_have_the_new_content(
        self, unlimited: Broker
    ) -> None:
        messages = many(200)
        await queue(unlimited, messages)

        amended, leases = [], []
        for start in range(0, 200, 5):
            answers, leased = await asyncio.gather(
                unlimited.amend([new(each) for each in messages[start : start + 10]]), lease(unlimited, 8)
            )
            amended += [each.id for each, is_so in zip(messages[start : start + 10], answers, strict=False) if is_so]
            leases += leased

        assert len(leases) == 200
        assert {each.message.id for each in leases if each.message.params == NEW} == set(amended)

    async def test_only_content_and_time_of_a_message_change(self, unlimited: Broker, clock: Clock) -> None:
        kept = outgoing("a", chat_id=7, priority=HIGH, cost=2, expires_at_ms=clock() + 500, is_paid=True, user_id=5)
        await queue(unlimited, [kept])
        other = {"bot_id": 2, "chat_id": 8, "priority": LOW, "expires_at_ms": None, "is_paid": False, "user_id": 6}

        amended = await unlimited.amend([structs.replace(new(kept), **other, attempt=3, replaces="edit:1")])
        clock.advance(500)
        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert amended == [True]
        assert leased.expired == (new(kept),)

    async def test_an_amendment_of_the_content_keeps_the_time(self, unlimited: Broker, clock: Clock) -> None:
        later, parked = outgoing("a", ready_at_ms=clock() + 500), outgoing("b", ready_at_ms=PARKED_MS)
        await queue(unlimited, [later, parked])

        amended = await unlimited.amend([new(each, ready_at_ms=KEPT_MS) for each in (later, parked)])

        assert amended == [True, True]
        assert await send_all(unlimited, clock, for_ms=1_000) == [(500, "a")]
        assert await unlimited.knows(["b"]) == [True]

    async def test_an_amendment_of_the_time_keeps_the_content(self, unlimited: Broker) -> None:
        parked = outgoing("a", method="sendPhoto", params=b'{"photo":"1"}', ready_at_ms=PARKED_MS)
        await queue(unlimited, [parked])

        amended = await unlimited.amend([ready(parked)])
        (leased,) = await lease(unlimited)

        assert amended == [True]
        assert leased.message == structs.replace(parked, ready_at_ms=0)

    @pytest.mark.parametrize("is_edited_first", [True, False])
    async def test_of_an_edit_and_a_release_neither_undoes_the_other(
        self, unlimited: Broker, *, is_edited_first: bool
    ) -> None:
        parked = outgoing("a", ready_at_ms=PARKED_MS)
        await queue(unlimited, [parked])
        both = [new(parked, ready_at_ms=KEPT_MS), ready(parked)]

        for each in both if is_edited_first else reversed(both):
            await unlimited.amend([each])

        assert contents(await lease(unlimited)) == [("a", NEW)]

    async def test_an_amended_message_keeps_its_place_in_its_lane(self, unlimited: Broker) -> None:
        a, b, c = many(3, chat_id=7)
        await queue(unlimited, [a, b, c])

        await unlimited.amend([new(b), new(a)])

        assert await one_by_one(unlimited) == [a.id, b.id, c.id]

    async def test_of_two_amendments_of_one_message_the_last_counts(self, unlimited: Broker) -> None:
        message = outgoing("a")
        await queue(unlimited, [message])

        amended = await unlimited.amend([structs.replace(message, params=b"{}"), new(message)])

        assert amended == [True, True]
        assert contents(await lease(unlimited)) == [("a", NEW)]

    async def test_a_message_that_waited_for_its_time_enters_its_lane_at_its_position(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        a, b, c = many(3, chat_id=7)
        await queue(unlimited, [a, structs.replace(b, ready_at_ms=clock() + 60_000), c])

        amended = await unlimited.amend([new(b)])

        assert amended == [True]
        assert await one_by_one(unlimited) == [a.id, b.id, c.id]

    async def test_a_ready_message_that_is_given_a_time_lets_those_behind_it_go_first(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        a, b = many(2, chat_id=7)
        await queue(unlimited, [a, b])

        await unlimited.amend([new(a, ready_at_ms=clock() + 500)])

        assert await send_all(unlimited, clock, for_ms=1_000) == [(0, b.id), (500, a.id)]

    @pytest.mark.parametrize(("first_ms", "then_ms"), [(900, 300), (300, 900)])
    async def test_a_scheduled_message_leaves_at_its_new_time_alone(
        self, unlimited: Broker, clock: Clock, first_ms: int, then_ms: int
    ) -> None:
        message = outgoing("a", ready_at_ms=clock() + first_ms)
        await queue(unlimited, [message])

        await unlimited.amend([new(message, ready_at_ms=clock() + then_ms)])

        assert await send_all(unlimited, clock, for_ms=2_000) == [(then_ms, "a")]

    async def test_a_message_that_was_ready_for_a_while_leaves_at_the_last_time_it_was_given(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        message = outgoing("a", ready_at_ms=clock() + 300)
        await queue(unlimited, [message])

        await unlimited.amend([new(message)])
        await unlimited.amend([new(message, ready_at_ms=clock() + 900)])

        assert await send_all(unlimited, clock, for_ms=2_000) == [(900, "a")]

    async def test_a_message_that_was_tried_keeps_its_attempts_and_its_backoff(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        message = outgoing("a")
        await queue(unlimited, [message])
        await settle(unlimited, await lease(unlimited), Again(500))

        amended = await unlimited.amend([new(message, ready_at_ms=clock() + 60_000)])
        clock.advance(499)
        too_early = await lease(unlimited)
        clock.advance(1)
        (leased,) = await lease(unlimited)

        assert (amended, too_early) == ([True], [])
        assert (leased.message.params, leased.attempt) == (NEW, 2)

    async def test_an_uncounted_message_that_was_tried_keeps_its_backoff(self, unlimited: Broker, clock: Clock) -> None:
        delete = outgoing("a", method="deleteMessage", cost=0)
        await queue(unlimited, [delete])
        await settle(unlimited, await lease(unlimited), Again(500))

        await unlimited.amend([new(delete)])

        assert await send_all(unlimited, clock, for_ms=1_000) == [(500, "a")]

    async def test_a_message_that_telegram_throttled_waits_for_the_hold(self, unlimited: Broker, clock: Clock) -> None:
        message = outgoing("a")
        await queue(unlimited, [message])
        await settle(unlimited, await lease(unlimited), HoldChat(500))

        await unlimited.amend([new(message)])

        assert (await unlimited.stats()).retry == 1
        assert await send_all(unlimited, clock, for_ms=1_000) == [(500, "a")]

    async def test_an_album_of_which_a_part_was_sent_is_not_amended(self, unlimited: Broker) -> None:
        album = outgoing("a", method="sendMediaGroup", cost=3)
        await queue(unlimited, [album])
        (leased,) = await lease(unlimited)
        rest = Rest("sendPhoto", b'{"photo":"3"}', 1)
        await unlimited.settle([Settlement(leased, Again(0), 0, rest)])

        amended = await unlimited.amend([new(album)])

        assert amended == [False]
        assert contents(await lease(unlimited)) == [("a", rest.params)]

    async def test_an_amended_message_is_known_under_its_id_and_counts_once(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        message = outgoing("a")
        await queue(unlimited, [message])
        await unlimited.amend([new(message, ready_at_ms=clock() + 500)])

        admission = await unlimited.admit([message], worker_id="intake", slots=0)

        assert admission.verdicts == (Duplicate(),)
        assert (await unlimited.stats()).bots == {1: 1}

    async def test_a_newer_edit_replaces_an_amended_one_and_reports_its_new_content(self, unlimited: Broker) -> None:
        await queue(unlimited, [edit("a")])
        await unlimited.amend([new(edit("a"))])

        admission = await unlimited.admit([edit("b")], worker_id="intake", slots=0)

        assert admission.verdicts == (Queued(instead_of=new(edit("a"))),)

    async def test_an_edit_that_became_one_of_another_kind_is_not_replaced(self, unlimited: Broker) -> None:
        await queue(unlimited, [edit("a")])
        await unlimited.amend([edit("a", method="editMessageCaption")])

        await queue(unlimited, [edit("b")])

        assert await one_by_one(unlimited) == ["a", "b"]

    async def test_an_edit_in_the_place_of_another_keeps_that_place_when_it_is_amended(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [edit("a"), outgoing("b"), edit("c")])

        await unlimited.amend([new(edit("c"), ready_at_ms=clock() + 500)])
        await unlimited.amend([new(edit("c"))])

        assert await one_by_one(unlimited) == ["c", "b"]

    async def test_a_message_of_a_migrated_chat_is_amended(self, unlimited: Broker, clock: Clock) -> None:
        first, later = outgoing("a", chat_id=-5), outgoing("b", chat_id=-5, ready_at_ms=clock() + 60_000)
        await queue(unlimited, [first, later])
        await unlimited.migrate(1, -5, -100)

        amended = await unlimited.amend([new(first), new(later)])

        assert amended == [True, True]
        assert contents(await lease(unlimited)) == [("a", NEW)]
        assert await unlimited.knows(["b"]) == [True]

    async def test_an_album_that_saved_up_places_gives_them_to_others_when_it_is_put_off(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(3, 1_000)))
        album = outgoing("b", chat_id=8, priority=HIGH, cost=3)
        await queue(broker, [outgoing("a", priority=HIGH), album, outgoing("c", chat_id=9, priority=HIGH)])
        saved_up = await leased_ids(broker)

        await broker.amend([new(album, ready_at_ms=clock() + 60_000)])

        assert saved_up == ["a"]
        assert await leased_ids(broker) == ["c"]

    async def test_a_sleeping_worker_wakes_when_an_amended_message_may_go(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        message = outgoing("a", ready_at_ms=clock() + 60_000)
        await queue(unlimited, [message])
        leased = await unlimited.lease(worker_id="worker", slots=1)
        sleeping = asyncio.create_task(unlimited.wait(leased.wake_at_ms))
        await asyncio.sleep(0)

        await unlimited.amend([new(message)])

        await asyncio.wait_for(sleeping, 5)
        assert await leased_ids(unlimited) == ["a"]

    async def test_more_amendments_than_a_batch_are_refused(self, unlimited: Broker) -> None:
        messages = many(BATCH_MAX + 1)

        with pytest.raises(ValueError, match=str(BATCH_MAX)):
            await unlimited.amend(messages)

    async def test_a_message_that_was_amended_can_still_be_cancelled(self, unlimited: Broker, clock: Clock) -> None:
        messages = many(2, chat_id=7)
        await queue(unlimited, messages)
        await unlimited.amend([new(messages[0], ready_at_ms=clock() + 500), new(messages[1])])

        assert await unlimited.cancel([each.id for each in messages]) == [True, True]

        assert await send_all(unlimited, clock, for_ms=1_000) == []
