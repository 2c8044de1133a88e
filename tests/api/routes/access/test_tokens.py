from __future__ import annotations

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tempogram.api.security.principals import Role
from tempogram.api.security.wrong_tokens import AT_ONCE
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.changes import AccessChanged
from tempogram.storage.identity.secrets import Credential, Kind
from tests.api.fakes import World, error_of


async def user(world: World, role: Role, name: str = "ada") -> str:
    return (await world.users.add(name, role, now_ms=world.clock())).id


async def made(by: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await by.post("/tokens", json={"name": "ci", "role": "viewer"} | changes)
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    return token


async def client_of(world: World, role: Role, name: str = "ada") -> httpx.AsyncClient:
    """Return a client with an API token of a new user."""
    token = await world.api_tokens.add("own", role, user_id=await user(world, role, name), now_ms=world.clock())
    return world.bearing(token.text)


async def test_a_token_lets_its_bearer_in_with_its_role(world: World) -> None:
    token = await made(world.client, role="operator")
    client = world.bearing(token["text"])

    answers = [await client.get("/bots"), await client.delete("/limits")]

    assert [each.status_code for each in answers] == [200, 403]


async def test_a_token_is_shown_once_and_is_in_no_log_and_no_other_answer(world: World) -> None:
    with capture_logs() as logs:
        answer = await world.client.post("/tokens", json={"name": "ci", "role": "viewer"})
        text = answer.json()["text"]
        await world.bearing(text).get("/bots")
        listed = await world.client.get("/tokens")
        wrong = await world.bearing(text[:-1]).get("/bots")
        revoked = await world.client.delete(f"/tokens/{answer.json()['token']['id']}")

    secret = text.split("_")[2]
    assert answer.headers["Cache-Control"] == "no-store"
    assert secret not in repr(logs) + listed.text + wrong.text + revoked.text


async def test_a_token_that_is_revoked_acts_no_more_at_once_and_all_processes_are_notified(world: World) -> None:
    token = await made(world.client)
    client = world.bearing(token["text"])
    before = (await client.get("/bots")).status_code

    revoked = await world.client.delete(f"/tokens/{token['token']['id']}")

    assert (before, revoked.json(), (await client.get("/bots")).status_code) == (200, {"id": token["token"]["id"]}, 401)
    assert world.announced == [AccessChanged()]
    assert error_of(await world.client.delete(f"/tokens/{token['token']['id']}"))[0] == 404


async def test_a_token_that_expires_acts_no_more(world: World) -> None:
    token = await made(world.client, expires_in_s=10)
    client = world.bearing(token["text"])
    before = (await client.get("/bots")).status_code

    world.clock.advance(10_000)

    assert (before, (await client.get("/bots")).status_code) == (200, 401)


async def test_ten_seconds_may_be_written_with_a_point(world: World) -> None:
    made_out = await world.client.post("/tokens", json={"name": "ci", "role": "viewer", "expires_in_s": 10.0})

    assert made_out.status_code == 201


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "9", 10**12])
async def test_a_token_is_valid_for_a_while_or_refused(world: World, seconds: object) -> None:
    answer = await world.client.post("/tokens", json={"name": "ci", "role": "viewer", "expires_in_s": seconds})

    assert error_of(answer)[:2] == (422, "invalid")


async def test_a_user_makes_and_sees_and_revokes_its_own_tokens_only(world: World) -> None:
    client, other = await client_of(world, Role.OPERATOR), await client_of(world, Role.OPERATOR, "eve")
    token, others = await made(client), await made(other)

    listed = (await client.get("/tokens")).json()["tokens"]
    answers = [await client.delete(f"/tokens/{each['token']['id']}") for each in (token, others)]

    assert {each["user"] for each in listed} == {"ada"}
    assert [each.status_code for each in answers] == [200, 404]


async def test_a_user_makes_no_token_for_another_one_and_lists_none_of_it(world: World) -> None:
    client = await client_of(world, Role.OPERATOR)
    eve = await user(world, Role.VIEWER, "eve")

    for answer in (
        await client.post("/tokens", json={"name": "ci", "role": "viewer", "user": eve}),
        await client.get(f"/tokens?user={eve}"),
    ):
        assert error_of(answer)[:2] == (403, "not_allowed")


async def test_no_token_is_made_above_the_role_of_its_maker_or_of_its_user(world: World) -> None:
    client = await client_of(world, Role.OPERATOR)
    eve = await user(world, Role.VIEWER, "eve")

    answers = [
        await client.post("/tokens", json={"name": "ci", "role": "admin"}),
        await world.client.post("/tokens", json={"name": "ci", "role": "operator", "user": eve}),
    ]

    assert [error_of(each)[2] for each in answers] == [
        "a token of the role admin is made by that role or a higher one",
        "user eve has the role viewer, and so have its tokens at most",
    ]


async def test_a_token_makes_none_that_outlives_it(world: World) -> None:
    ends_ms = world.clock() + 60_000
    short = await world.api_tokens.add(
        "short", Role.ADMIN, user_id=await user(world, Role.ADMIN), expires_at_ms=ends_ms, now_ms=world.clock()
    )

    await made(world.bearing(short.text))
    await made(world.bearing(short.text), expires_in_s=3_600)

    assert {each.expires_at_ms for each in await world.api_tokens.all()} == {ends_ms}


async def test_a_token_of_the_settings_that_is_no_admin_has_none_of_its_own(world: World) -> None:
    client = world.of(Role.VIEWER)

    assert (await client.get("/tokens")).json() == {"tokens": []}
    assert error_of(await client.post("/tokens", json={"name": "ci", "role": "viewer"}))[:2] == (403, "not_allowed")


async def test_a_changed_role_holds_for_tokens_at_once(world: World) -> None:
    client = await client_of(world, Role.ADMIN)
    ada = await world.users.named("ada")
    assert ada is not None
    before = await client.get("/users")

    await world.client.patch(f"/users/{ada.id}", json={"role": "viewer"})

    after = [await client.get("/users"), await client.get("/bots")]
    assert [each.status_code for each in (before, *after)] == [200, 403, 200]


async def test_of_unknown_tokens_of_an_address_no_more_are_asked_for_than_are_looked_at(world: World) -> None:
    for _ in range(AT_ONCE + 30):
        await world.bearing(Credential.new(Kind.TOKEN).text).get("/bots")

    assert world.api_tokens.asked == AT_ONCE
    assert world.api_tokens.used == []


async def test_where_many_wrong_tokens_come_from_a_proven_one_is_served_and_no_other(
    world: World,
) -> None:
    proven, unproven = await made(world.client), await made(world.client)
    await world.bearing(proven["text"]).get("/bots")
    for _ in range(AT_ONCE + 1):
        await world.bearing(Credential.new(Kind.TOKEN).text).get("/bots")

    assert (await world.bearing(proven["text"]).get("/bots")).status_code == 200
    assert error_of(await world.bearing(unproven["text"]).get("/bots"))[:2] == (429, "too_many_wrong_tokens")


async def test_while_the_database_is_away_the_tokens_of_the_settings_still_work(world: World) -> None:
    token = await made(world.client)
    world.api_tokens.failure = LedgerError("away")

    answers = [await world.bearing(token["text"]).get("/bots"), await world.client.get("/bots")]

    assert error_of(answers[0])[:2] == (503, "ledger_unavailable")
    assert answers[1].status_code == 200


@pytest.mark.parametrize("bots", [[], ["x"], [0], list(range(1, 1_002))])
async def test_a_token_for_no_bots_or_too_many_is_refused(world: World, bots: list[object]) -> None:
    answer = await world.client.post("/tokens", json={"name": "ci", "role": "viewer", "bots": bots})

    assert error_of(answer)[:2] == (422, "invalid")
