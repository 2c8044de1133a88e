from __future__ import annotations

from typing import Any

import pytest

from tests.api.fakes import World, error_of


async def test_the_limits_are_shown(world: World) -> None:
    shown = (await world.client.get("/limits")).json()

    assert shown["chat"] == {"count": 1, "window_s": 1.0, "burst": 3}
    assert (shown["version"], shown["chat_cap"]) == (1, 10_000)


async def test_changed_limits_apply_at_once_and_the_others_stay(world: World) -> None:
    await world.client.patch("/limits", json={"group": {"count": 5}, "chat_cap": 2})
    response = await world.client.patch("/limits", json={"group": {"window_s": 30}})
    third = [await world.client.post("/messages", json={"bot": 42, "chat_id": 7, "text": "x"}) for _ in range(3)][-1]

    assert response.json()["group"] == {"count": 5, "window_s": 30.0, "burst": None}
    assert response.json()["version"] == 3
    assert response.json()["bot"] == {"count": 30, "window_s": 1.0, "burst": None}
    assert third.status_code == 429


async def test_a_burst_besides_a_window_can_be_set_and_taken_away(world: World) -> None:
    with_burst = (await world.client.patch("/limits", json={"bot": {"burst": 5}})).json()["bot"]
    without = (await world.client.patch("/limits", json={"bot": {"burst": 0}})).json()["bot"]

    assert with_burst == {"count": 30, "window_s": 1.0, "burst": 5}
    assert without == {"count": 30, "window_s": 1.0, "burst": None}


async def test_reset_limits_are_the_environments(world: World) -> None:
    before = (await world.client.get("/limits")).json()
    await world.client.patch("/limits", json={"bot": {"count": 5}})

    after = (await world.client.delete("/limits")).json()

    assert after == before | {"version": 3}
    assert (await world.client.get("/limits")).json() == after


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "say what to change: ceiling, bot, paid, chat, group, user, chat_cap or bot_cap"),
        ({"bot": {}}, "bot: say what to change: count, window_s or burst, not {}"),
        ({"bot": None}, "say what to change: ceiling, bot, paid, chat, group, user, chat_cap or bot_cap"),
        ({"bot": {"count": -1}}, "bot.count should be greater than or equal to 0, not -1"),
        ({"bot": {"count": True}}, "bot.count should be a valid integer, not True"),
        ({"bot": {"window_s": 0}}, "bot.window_s should be greater than or equal to 0.001, not 0"),
        ({"user": {"burst": 3}}, "user.burst is not a field of this request"),
        ({"bot": {"burst": -1}}, "bot.burst should be greater than or equal to 0, not -1"),
        ({"chat": {"burst": 0}}, "chat.burst should be greater than or equal to 1, not 0"),
        ({"purse": {"count": 3}}, "purse is not a field of this request"),
    ],
)
async def test_an_invalid_change_of_limits_is_refused_in_one_sentence(world: World, body: Any, sentence: str) -> None:
    response = await world.client.patch("/limits", json=body)

    assert error_of(response) == (422, "invalid", sentence)
    assert (await world.client.get("/limits")).json()["version"] == 1


async def test_limits_can_be_changed_while_the_queue_is_unavailable(world: World) -> None:
    world.broker.asleep = True

    changed = await world.client.patch("/limits", json={"bot": {"count": 5}})

    assert (changed.status_code, changed.json()["version"]) == (200, 2)


async def test_limits_cannot_be_shown_while_the_ledger_is_unavailable(world: World) -> None:
    world.stored_limits.asleep = True

    assert error_of(await world.client.get("/limits"))[:2] == (503, "ledger_unavailable")
