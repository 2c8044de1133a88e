from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tempogram.api.core.ports import PlannedMessage
from tempogram.api.schemas.reengagement import DryRunOut
from tempogram.api.security.principals import Role
from tempogram.engine.model.selection import Reason, Recipient
from tests.api.fakes import BOT_ID, World, error_of
from tests.fakes import START_MS

ANNA = Recipient(
    chat_id=7,
    zone="Europe/Berlin",
    local_date="2023-11-14",
    not_before_ms=START_MS + 3_600_000,
    day_ends_ms=START_MS + 7_200_000,
    title="Anna",
)
PATH = f"/bots/{BOT_ID}/reengagement"


@pytest.fixture
def world(world: World) -> World:
    world.bots.register(BOT_ID, {"reengagement": {}})
    return world


async def test_who_would_get_what_is_listed_with_the_reasons_of_the_others(world: World) -> None:
    world.dry_runs.messages = [PlannedMessage(ANNA, "Hello Anna!")]
    world.dry_runs.left_out = {Reason.OPTED_OUT: 3}

    answer = (await world.of(Role.VIEWER).get(PATH)).json()

    shown = DryRunOut.model_validate(answer)
    assert (shown.selected, shown.left_out, shown.next_after) == (1, {"opted_out": 3}, "7")
    assert answer["messages"] == [
        {
            "chat_id": 7,
            "title": "Anna",
            "time_zone": "Europe/Berlin",
            "local_date": "2023-11-14",
            "not_before": "2023-11-14T23:13:20Z",
            "text": "Hello Anna!",
        }
    ]


async def test_a_time_and_a_page_are_handed_on(world: World) -> None:
    answer = (await world.client.get(PATH, params={"at": "2026-01-01T16:00:00Z", "after": "7", "limit": 5})).json()

    at_ms = round(datetime(2026, 1, 1, 16, tzinfo=UTC).timestamp() * 1_000)
    assert world.dry_runs.asked == [(BOT_ID, at_ms, "7", 5)]
    assert (answer["at"], answer["messages"], answer["next_after"]) == ("2026-01-01T16:00:00Z", [], None)


async def test_a_bot_without_the_behaviour_and_one_that_there_is_not_are_refused(world: World) -> None:
    world.bots.register(BOT_ID, {"echo": {}})

    refused, missing = await world.client.get(PATH), await world.client.get("/bots/999/reengagement")

    assert (refused.status_code, missing.status_code) == (400, 404)
    assert "does not have the behaviour reengagement" in error_of(refused)[2]
