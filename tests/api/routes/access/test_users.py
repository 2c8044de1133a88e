from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.engine.ports.changes import AccessChanged
from tempogram.storage.identity.secrets import Credential, Kind
from tests.api.fakes import World, error_of

PASSWORD = "canary of a long password"


async def added(world: World, **changes: Any) -> dict[str, Any]:
    answer = await world.client.post("/users", json={"name": "ada", "role": "operator"} | changes)
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json()
    return user


async def test_a_user_is_added_and_listed(world: World) -> None:
    user = await added(world)

    assert (await world.client.get("/users")).json() == {"users": [user]}
    assert (user["name"], user["role"], user["is_active"], user["has_password"]) == ("ada", "operator", True, False)


async def test_a_name_is_taken_once_in_whatever_case(world: World) -> None:
    await added(world)

    answer = await world.client.post("/users", json={"name": "Ada", "role": "viewer"})

    assert error_of(answer) == (409, "name_taken", "there is a user 'Ada' already")


@pytest.mark.parametrize("name", ["", " ada", "a" * 65, "ada\n", "<ada>", "\u0430da"])
async def test_a_name_that_could_be_mistaken_is_refused(world: World, name: str) -> None:
    answer = await world.client.post("/users", json={"name": name, "role": "viewer"})

    assert error_of(answer)[:2] == (422, "invalid")


async def test_a_password_is_stored_as_a_digest_and_appears_nowhere(world: World) -> None:
    with capture_logs() as logs:
        user = await added(world, password=PASSWORD)
        answer = await world.client.patch(f"/users/{user['id']}", json={"password": f"another {PASSWORD}"})
        listed = await world.client.get("/users")

    assert user["has_password"]
    assert world.users.digests[user["id"]].startswith("$argon2id$")
    assert "canary" not in repr(logs) + answer.text + listed.text + repr(world.users)


@pytest.mark.parametrize("password", ["canary", "canary " * 50])
async def test_a_password_that_does_not_fit_is_refused_unquoted(world: World, password: str) -> None:
    answer = await world.client.post("/users", json={"name": "ada", "role": "viewer", "password": password})

    assert error_of(answer)[:2] == (422, "invalid")
    assert "canary" not in answer.text
    assert world.users.stored == {}


@pytest.mark.parametrize("password", [7, ["canary"], {"a": "canary"}])
async def test_a_password_that_is_no_text_is_refused_unquoted(world: World, password: object) -> None:
    answer = await world.client.post("/users", json={"name": "ada", "role": "viewer", "password": password})

    assert error_of(answer)[:2] == (422, "invalid")
    assert "canary" not in answer.text


async def test_a_change_of_a_user_is_announced_to_all_processes(world: World) -> None:
    user = await added(world)

    changed = await world.client.patch(f"/users/{user['id']}", json={"role": "viewer", "is_active": False})

    assert (changed.json()["role"], changed.json()["is_active"]) == ("viewer", False)
    assert world.announced == [AccessChanged()]


async def test_a_disabled_user_acts_no_more_at_once(world: World) -> None:
    user = await added(world)
    made = await world.client.post("/tokens", json={"name": "ci", "role": "operator", "user": user["id"]})
    client = world.bearing(made.json()["text"])
    before = (await client.get("/bots")).status_code

    await world.client.patch(f"/users/{user['id']}", json={"is_active": False})

    assert (before, (await client.get("/bots")).status_code) == (200, 401)


async def test_a_user_that_is_removed_leaves_nothing_that_lets_it_in(world: World) -> None:
    user = await added(world)
    made = await world.client.post("/tokens", json={"name": "ci", "role": "operator", "user": user["id"]})

    removed = await world.client.delete(f"/users/{user['id']}")
    again = await world.client.delete(f"/users/{user['id']}")

    assert removed.json() == {"id": user["id"]}
    assert error_of(again)[:2] == (404, "not_found")
    assert (await world.bearing(made.json()["text"]).get("/bots")).status_code == 401


async def test_a_user_that_there_is_not_is_not_changed(world: World) -> None:
    for answer in (
        await world.client.patch("/users/none", json={"role": "viewer"}),
        await world.client.post("/users/none/link"),
    ):
        assert error_of(answer) == (404, "not_found", "there is no user none")


async def test_a_link_is_shown_once_and_is_in_no_log(world: World) -> None:
    user = await added(world)

    with capture_logs() as logs:
        answer = await world.client.post(f"/users/{user['id']}/link")

    link = answer.json()["link"]
    assert Credential.read(link, Kind.LINK) is not None
    assert answer.headers["Cache-Control"] == "no-store"
    assert link not in repr(logs)
