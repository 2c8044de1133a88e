"""A token that is bound to bots sees and does nothing of others, on any route."""

from __future__ import annotations

from typing import Any

import pytest

from tempogram.api.core.errors import NotAllowed
from tempogram.api.security.bounds import ALL, Bounds
from tests.api.fakes import World, error_of
from tests.api.security.test_auth import NAMED, NEEDED

OWN, OTHER = 42, 43

OPEN = {
    ("GET", "/openapi.json"),
    ("GET", "/session"),
    ("DELETE", "/session"),
    ("PUT", "/session/password"),
    ("GET", "/sessions"),
    ("DELETE", "/sessions"),
    ("DELETE", "/sessions/{session_id}"),
}
"""They show nothing of any bot."""

BOUNDED = {
    ("GET", "/bots"),
    ("GET", "/messages"),
    ("GET", "/messages/{message_id}"),
    ("GET", "/messages/{message_id}/explain"),
    ("DELETE", "/messages/{message_id}"),
    ("POST", "/messages"),
    ("POST", "/messages/batch"),
    ("GET", "/queue/dlq"),
    ("DELETE", "/queue/dlq"),
    ("POST", "/queue/dlq/replay"),
    ("POST", "/selections/preview"),
    ("POST", "/selections/chats"),
    ("POST", "/broadcasts"),
    ("GET", "/broadcasts/{broadcast_id}"),
    ("POST", "/broadcasts/{broadcast_id}/cancel"),
    ("POST", "/broadcasts/{broadcast_id}/pause"),
    ("POST", "/broadcasts/{broadcast_id}/preview"),
    ("POST", "/broadcasts/{broadcast_id}/resume"),
    ("POST", "/broadcasts/{broadcast_id}/retry"),
    ("POST", "/broadcasts/{broadcast_id}/start"),
    ("PUT", "/watches/members"),
    ("PUT", "/watches/subscriptions"),
    ("DELETE", "/watches/subscriptions"),
}
"""They look themselves for which bots a token is. Each is tried below."""


@pytest.mark.parametrize(("method", "path"), sorted(set(NEEDED) - OPEN - BOUNDED))
async def test_any_other_route_is_refused_to_a_bound_token(world: World, method: str, path: str) -> None:
    client = await world.bound(OWN)

    answer = await client.request(method, path.format_map(NAMED | {"bot_id": OTHER}), content=b"nonsense")

    assert error_of(answer)[:2] == (403, "not_allowed")


async def test_a_path_of_its_own_bot_is_open_to_it(world: World) -> None:
    client = await world.bound(OWN)

    assert (await client.get(f"/bots/{OWN}")).status_code == 200
    assert (await client.patch(f"/bots/{OWN}", json={"paused": True})).status_code == 200


async def test_whether_another_bot_exists_is_not_to_be_seen(world: World) -> None:
    world.bots.register(OTHER, {})
    client = await world.bound(OWN)

    answers = [error_of(await client.get(f"/bots/{bot_id}")) for bot_id in (OTHER, 44)]

    assert [each[2] for each in answers] == ["this token is not for bot 43", "this token is not for bot 44"]


async def test_only_its_own_bots_are_listed(world: World) -> None:
    world.bots.register(OTHER, {})
    client = await world.bound(OWN)

    listed = (await client.get("/bots")).json()["bots"]

    assert [each["id"] for each in listed] == [str(OWN)]


WATCHED = {"bot": OTHER, "chat_id": 7, "source": "prices", "key": "tea"}


@pytest.mark.parametrize(
    ("method", "path", "request_of"),
    [
        ("POST", "/messages", {"json": {"bot": OTHER, "chat_id": 7, "text": "hello"}}),
        ("GET", f"/messages?chat_id=-7&telegram_message_id=9&bot={OTHER}", {}),
        ("GET", f"/queue/dlq?bot={OTHER}", {}),
        ("DELETE", f"/queue/dlq?bot={OTHER}", {}),
        ("DELETE", "/queue/dlq?all=true", {}),
        ("POST", "/queue/dlq/replay", {"json": {"bot": OTHER}}),
        ("POST", "/queue/dlq/replay", {"json": {"ids": ["a"]}}),
        ("POST", "/queue/dlq/replay", {"json": {"all": True}}),
        ("POST", "/selections/preview", {"json": {"bot": OTHER}}),
        ("POST", "/selections/chats", {"json": {"bot": OTHER}}),
        ("POST", "/broadcasts", {"json": {"name": "news", "bot": OTHER, "text": "hello"}}),
        ("PUT", "/watches/subscriptions", {"json": WATCHED}),
        ("DELETE", "/watches/subscriptions", {"params": WATCHED}),
        ("PUT", "/watches/members", {"json": {"bot": OTHER, "chat_id": 7, "plan": "paid"}}),
    ],
)
async def test_what_names_another_bot_is_refused(
    world: World, method: str, path: str, request_of: dict[str, Any]
) -> None:
    world.bots.register(OTHER, {})
    client = await world.bound(OWN)

    answer = await client.request(method, path, **request_of)

    assert error_of(answer)[:2] == (403, "not_allowed")


async def test_of_a_batch_only_messages_of_its_own_bots_are_accepted(world: World) -> None:
    world.bots.register(OTHER, {})
    client = await world.bound(OWN)

    entries = [{"bot": bot, "chat_id": 7, "text": "hello"} for bot in (OWN, OTHER)]
    accepted, refused = (await client.post("/messages/batch", json=entries)).json()

    assert accepted["status"] == "queued"
    assert refused == {"error": "this token is not for bot 43"}


@pytest.mark.parametrize(("method", "what"), [("GET", ""), ("GET", "/explain"), ("DELETE", "")])
async def test_a_message_of_another_bot_is_as_if_it_were_not_there(world: World, method: str, what: str) -> None:
    world.bots.register(OTHER, {})
    own, other = await world.submitted(), await world.submitted(bot=OTHER)
    client = await world.bound(OWN)

    answers = [await client.request(method, f"/messages/{each}{what}") for each in (own, other)]

    assert answers[0].status_code == 200
    assert error_of(answers[1]) == (404, "not_found", f"there is no message '{other}'")


@pytest.mark.parametrize("change", ["", "start", "pause", "resume", "cancel", "retry", "preview"])
async def test_a_broadcast_of_another_bot_is_as_if_it_were_not_there(world: World, change: str) -> None:
    world.bots.register(OTHER, {})
    made = (await world.client.post("/broadcasts", json={"name": "news", "bot": OTHER, "text": "hello"})).json()
    client = await world.bound(OWN)

    path = f"/broadcasts/{made['id']}"
    answer = await (client.post(f"{path}/{change}") if change else client.get(path))

    assert error_of(answer) == (404, "not_found", f"there is no broadcast {made['id']}")


async def test_its_own_dead_letters_are_listed_without_naming_the_bot(world: World) -> None:
    world.bots.register(OTHER, {})
    own = await world.dead()
    await world.dead(bot=OTHER)
    client = await world.bound(OWN)

    letters = (await client.get("/queue/dlq")).json()["letters"]
    replayed = await client.post("/queue/dlq/replay", json={"bot": OWN})

    assert [each["id"] for each in letters] == [own]
    assert replayed.json() == {"replayed": 1}


async def test_a_token_of_several_bots_names_one_to_list_dead_letters(world: World) -> None:
    client = await world.bound(OWN, OTHER)

    assert error_of(await client.get("/queue/dlq"))[2] == "this token is bound to bots; name one of them as bot"
    assert (await client.get(f"/queue/dlq?bot={OTHER}")).status_code == 200


async def test_a_bound_token_makes_none_that_is_not_bound(world: World) -> None:
    client = await world.bound(OWN)

    answer = await client.post("/tokens", json={"name": "free", "role": "viewer"})

    assert error_of(answer)[:2] == (403, "not_allowed")


async def test_a_bound_token_sees_of_the_health_what_everyone_sees(world: World) -> None:
    client = await world.bound(OWN)

    assert (await client.get("/health")).json() == {"status": "up"}


def test_all_bots_are_within_no_bounds() -> None:
    ALL.check(OTHER)

    with pytest.raises(NotAllowed, match="not for bot 43"):
        Bounds(frozenset({OWN})).check(OTHER)
    assert [ALL.one(None), ALL.one(OTHER), Bounds(frozenset({OWN})).one(None)] == [None, OTHER, OWN]
