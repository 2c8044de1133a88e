"""Messages are cancelled, bots paused, and too many waiting messages refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.messages import (
    PauseBot,
)
from tempogram.engine.ports import Broker, Queued, Refused
from tests.engine.brokers.contract.steps import UNLIMITED, MakeBroker, lease, leased_ids, many, queue, settle
from tests.fakes import Clock, outgoing


class Changes:
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

    async def test_a_message_keeps_its_tag_and_one_without_gets_none(self, unlimited: Broker, clock: Clock) -> None:
        tagged, plain = structs.replace(outgoing("a", chat_id=7), tag="весна 🌷"), outgoing("b", chat_id=8)
        expires = structs.replace(outgoing("c", chat_id=9, expires_at_ms=clock() + 500), tag="spring")
        await queue(unlimited, [tagged, plain, structs.replace(expires, ready_at_ms=clock() + 1_000)])

        leases = await lease(unlimited)
        clock.advance(500)
        expired = (await unlimited.lease(worker_id="worker", slots=1)).expired

        assert [each.message.tag for each in leases] == ["весна 🌷", None]
        assert [each.tag for each in expired] == ["spring"]

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
