from __future__ import annotations

import pytest

from api.ports import Refusal, TelegramUnreachable, UnknownToken
from tests.api.fakes import BOT_ID, STRANGERS_TOKEN, World, error_of


async def test_bots_are_listed_without_their_tokens(world: World) -> None:
    response = await world.client.get("/bots")

    assert response.json() == {
        "bots": [
            {
                "id": "42",
                "username": "bot42",
                "first_name": "Bot",
                "behaviours": {"echo": {}},
                "paused": False,
                "paused_by": None,
                "weight": 1,
                "added_at": "2023-11-14T22:13:20Z",
            }
        ]
    }


async def test_a_bot_is_added_and_its_token_not_repeated(world: World) -> None:
    response = await world.client.post("/bots", json={"token": STRANGERS_TOKEN, "behaviours": {"echo": {}}})

    assert (response.status_code, response.json()["id"]) == (201, "43")
    assert STRANGERS_TOKEN.partition(":")[2] not in response.text


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Refusal("there is no behaviour 'ecko'"), 400, "refused"),
        (UnknownToken(f"Telegram does not know {STRANGERS_TOKEN}"), 422, "unknown_token"),
        (TelegramUnreachable("nobody answered"), 503, "telegram_unreachable"),
    ],
)
async def test_a_bot_that_cannot_be_added_is_told_why(world: World, failure: Exception, status: int, code: str) -> None:
    world.fleet.failure = failure

    response = await world.client.post("/bots", json={"token": STRANGERS_TOKEN})

    assert error_of(response)[:2] == (status, code)
    assert STRANGERS_TOKEN not in response.text


@pytest.mark.parametrize(
    "body",
    [
        {"token": [STRANGERS_TOKEN]},
        {"token": STRANGERS_TOKEN * 20},
        {"token": STRANGERS_TOKEN, "behaviours": STRANGERS_TOKEN},
        {"tokn": STRANGERS_TOKEN},
        {STRANGERS_TOKEN: 1},
        STRANGERS_TOKEN,
    ],
)
async def test_a_token_in_the_wrong_place_is_not_quoted(world: World, body: object) -> None:
    response = await world.client.post("/bots", json=body)

    assert error_of(response)[:2] == (422, "invalid")
    assert STRANGERS_TOKEN.partition(":")[2] not in response.text


async def test_one_bot_is_shown(world: World) -> None:
    assert (await world.client.get(f"/bots/{BOT_ID}")).json()["id"] == "42"


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_an_unknown_bot_is_told(world: World, method: str) -> None:
    response = await world.client.request(method, "/bots/5", json={"paused": True})

    assert error_of(response) == (404, "not_found", "there is no bot 5")


async def test_a_paused_bot_is_paused_in_the_books_and_in_the_queue(world: World) -> None:
    await world.submitted()

    await world.client.patch(f"/bots/{BOT_ID}", json={"paused": True})

    assert world.books.paused == {BOT_ID: True}
    assert await world.leased() == ()


async def test_a_resumed_bot_sends_again(world: World) -> None:
    await world.submitted()
    await world.client.patch(f"/bots/{BOT_ID}", json={"paused": True})

    await world.client.patch(f"/bots/{BOT_ID}", json={"paused": False})

    assert len(await world.leased()) == 1


async def test_a_weight_is_kept_and_shown(world: World) -> None:
    response = await world.client.patch(f"/bots/{BOT_ID}", json={"weight": 3})

    assert response.json()["weight"] == 3


async def test_other_behaviours_are_taken(world: World) -> None:
    response = await world.client.patch(f"/bots/{BOT_ID}", json={"behaviours": {"quiz": {"rounds": 3}}})

    assert response.json()["behaviours"] == {"quiz": {"rounds": 3}}


async def test_a_refused_behaviour_changes_nothing_else(world: World) -> None:
    world.fleet.failure = Refusal("there is no behaviour 'quizz'")

    response = await world.client.patch(f"/bots/{BOT_ID}", json={"behaviours": {"quizz": {}}, "paused": True})

    assert error_of(response)[:2] == (400, "refused")
    assert world.books.paused == {}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "say what to change: behaviours, paused or weight"),
        ({"weight": 0}, "weight should be greater than or equal to 1, not 0"),
        ({"weight": 10**30}, "weight should be less than or equal to 1000, not 1" + "0" * 30),
        ({"pause": True}, "pause is no field of this request"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(world: World, body: dict[str, object], sentence: str) -> None:
    response = await world.client.patch(f"/bots/{BOT_ID}", json=body)

    assert error_of(response) == (422, "invalid", sentence)
