"""The newest edit of a message takes the place of an older one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from tempogram.engine.model.messages import (
    Again,
)
from tempogram.engine.ports import Broker, Queued, Refused, Replaced
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.contract.steps import (
    HIGH,
    LOW,
    UNLIMITED,
    MakeBroker,
    edit,
    lease,
    one_by_one,
    queue,
    send_all,
    settle,
)
from tests.fakes import Clock, outgoing


class Replacement:
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

    async def test_an_edit_that_is_admitted_again_after_it_was_replaced_hides_nothing(self, unlimited: Broker) -> None:
        """As by a rebuild that read it just before. The newer one has its position, and it was forgotten for that."""
        await queue(unlimited, [edit("a"), edit("c"), edit("d", method="editMessageReplyMarkup")])

        again = await unlimited.admit([edit("a")], worker_id="intake", slots=0)
        explained = await unlimited.explain("d")

        assert again.verdicts == (Queued(),)
        assert explained is not None
        assert explained.before_in_lane == 2
        assert sorted(await one_by_one(unlimited)) == ["a", "c", "d"]

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

    async def test_an_older_edit_that_comes_late_is_answered_as_replaced(self, unlimited: Broker) -> None:
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
