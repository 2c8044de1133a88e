from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Iterator

import pytest
from fastapi import Request
from fastapi.routing import APIRoute

from tempogram.api import app
from tempogram.api.core.dependencies import Services
from tempogram.api.core.errors import NotAllowed
from tempogram.api.routes import health
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.roles import Role
from tempogram.engine.model.errors import SettingsError
from tests.api.fakes import ADMIN_TOKEN, BOT_TOKEN, SECRET, World, error_of

ROUTERS = [router for router in (*app.ROUTERS, app.openapi) if router is not health.router]


def guarded() -> Iterator[tuple[str, str]]:
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield from ((method, route.path) for method in sorted(route.methods or ()))


@pytest.mark.parametrize(("method", "path"), list(guarded()))
@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", f"Basic {ADMIN_TOKEN}", ADMIN_TOKEN, "Bearer \u00e9"]
)
async def test_a_request_without_a_valid_token_is_refused(
    world: World, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {b"Authorization": header.encode()}

    response = await world.anonymous.request(method, path, headers=headers, content=b"nonsense")

    assert error_of(response)[:2] == (401, "not_authenticated")
    assert response.headers["www-authenticate"] == "Bearer"


def test_every_route_but_health_is_guarded_and_names_a_role() -> None:
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, GuardedRoute)
            assert len(route.dependencies) == 1
    assert len(health.router.routes) == 1


async def test_a_role_below_the_needed_one_is_not_enough(world: World) -> None:
    check = requires(Role.ADMIN).dependency
    request = Request({"type": "http", "state": {"role": Role.OPERATOR}})

    with pytest.raises(NotAllowed, match="this needs the role admin"):
        await check(request, None)


async def test_the_word_bearer_may_be_written_in_any_case(world: World) -> None:
    response = await world.anonymous.get("/bots", headers={"Authorization": f"bearer {ADMIN_TOKEN}"})

    assert response.status_code == 200


async def test_secrets_are_compared_in_constant_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def watched(given: bytes, secret: bytes) -> bool:
        compared.append((given, secret))
        return given == secret

    monkeypatch.setattr(hmac, "compare_digest", watched)
    world.fleet.secrets[42] = [SECRET]

    await world.anonymous.get("/bots", headers={"Authorization": "Bearer wrong"})
    await world.anonymous.post(f"/webhook/telegram/{BOT_TOKEN}")

    assert compared == [(b"wrong", ADMIN_TOKEN.encode()), (b"", SECRET.encode())]


def test_an_empty_admin_token_is_refused_at_the_start(world: World) -> None:
    fields = {field.name: getattr(world.services, field.name) for field in dataclasses.fields(Services)}

    with pytest.raises(SettingsError):
        Services(**fields | {"admin_token": ""})


def test_services_do_not_show_the_admin_token(world: World) -> None:
    assert ADMIN_TOKEN not in repr(world.services)
