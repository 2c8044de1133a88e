from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from fastapi.routing import APIRoute

from tempogram.api import app
from tempogram.api.pages import routes as pages
from tempogram.api.routes import health
from tempogram.api.routes.access import sessions
from tempogram.api.security.auth import GuardedRoute
from tempogram.api.security.principals import Role
from tempogram.api.security.wrong_tokens import AT_ONCE
from tests.api.fakes import ADMIN_TOKEN, BOT_TOKEN, SECRET, TOKENS, World, error_of

OPEN = [health.router, sessions.open_router, pages.router]
ROUTERS = [router for router in (*app.ROUTERS, app.openapi) if router not in OPEN]


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


def test_every_route_is_guarded_but_health_the_log_in_and_the_pages() -> None:
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, GuardedRoute)
            assert len(route.dependencies) == 1
    assert [route.path for router in OPEN for route in router.routes if isinstance(route, APIRoute)] == [
        "/health",
        "/session",
        "/login",
        "/login",
        "/logout",
        "/docs",
        "/assets/{version}/{name}",
    ]


async def test_every_route_says_in_the_description_which_role_it_needs(world: World) -> None:
    paths = (await world.client.get("/openapi.json")).json()["paths"]

    said = {
        (method.upper(), path): each["x-role"] for path, methods in paths.items() for method, each in methods.items()
    }
    needed = {route: role.name.lower() for route, role in NEEDED.items() if route != ("GET", "/openapi.json")}
    assert said == needed | {("GET", "/health"): "none", ("POST", "/session"): "none"}


NEEDED = {
    ("GET", "/alerts"): Role.VIEWER,
    ("GET", "/bots"): Role.VIEWER,
    ("GET", "/bots/{bot_id}"): Role.VIEWER,
    ("GET", "/bots/{bot_id}/chats"): Role.VIEWER,
    ("GET", "/bots/{bot_id}/chats/{chat_id}"): Role.VIEWER,
    ("GET", "/bots/{bot_id}/chats/{chat_id}/export"): Role.ADMIN,
    ("DELETE", "/bots/{bot_id}/chats/{chat_id}"): Role.ADMIN,
    ("GET", "/bots/{bot_id}/chats/{chat_id}/erasure"): Role.ADMIN,
    ("DELETE", "/bots/{bot_id}/chats/{chat_id}/erasure"): Role.ADMIN,
    ("GET", "/bots/{bot_id}/reengagement"): Role.VIEWER,
    ("GET", "/broadcasts"): Role.VIEWER,
    ("GET", "/broadcasts/{broadcast_id}"): Role.VIEWER,
    ("POST", "/broadcasts"): Role.OPERATOR,
    ("POST", "/broadcasts/{broadcast_id}/cancel"): Role.OPERATOR,
    ("POST", "/broadcasts/{broadcast_id}/pause"): Role.OPERATOR,
    ("POST", "/broadcasts/{broadcast_id}/preview"): Role.OPERATOR,
    ("POST", "/broadcasts/{broadcast_id}/resume"): Role.OPERATOR,
    ("POST", "/broadcasts/{broadcast_id}/retry"): Role.OPERATOR,
    ("POST", "/broadcasts/{broadcast_id}/start"): Role.OPERATOR,
    ("POST", "/selections/chats"): Role.VIEWER,
    ("POST", "/selections/preview"): Role.VIEWER,
    ("GET", "/watches"): Role.VIEWER,
    ("GET", "/watches/items"): Role.VIEWER,
    ("GET", "/watches/observations"): Role.VIEWER,
    ("GET", "/watches/plans"): Role.VIEWER,
    ("PUT", "/watches/members"): Role.OPERATOR,
    ("PUT", "/watches/plans/{name}"): Role.OPERATOR,
    ("PUT", "/watches/subscriptions"): Role.OPERATOR,
    ("DELETE", "/watches/subscriptions"): Role.OPERATOR,
    ("GET", "/users"): Role.ADMIN,
    ("POST", "/users"): Role.ADMIN,
    ("PATCH", "/users/{user_id}"): Role.ADMIN,
    ("DELETE", "/users/{user_id}"): Role.ADMIN,
    ("POST", "/users/{user_id}/link"): Role.ADMIN,
    ("GET", "/tokens"): Role.VIEWER,
    ("POST", "/tokens"): Role.VIEWER,
    ("DELETE", "/tokens/{token_id}"): Role.VIEWER,
    ("DELETE", "/users/{user_id}/sessions"): Role.ADMIN,
    ("GET", "/session"): Role.VIEWER,
    ("DELETE", "/session"): Role.VIEWER,
    ("PUT", "/session/password"): Role.VIEWER,
    ("GET", "/sessions"): Role.VIEWER,
    ("DELETE", "/sessions"): Role.VIEWER,
    ("DELETE", "/sessions/{session_id}"): Role.VIEWER,
    ("GET", "/limits"): Role.VIEWER,
    ("GET", "/bots/{bot_id}/incoming"): Role.VIEWER,
    ("GET", "/bots/{bot_id}/messages"): Role.VIEWER,
    ("GET", "/messages"): Role.VIEWER,
    ("GET", "/messages/{message_id}"): Role.VIEWER,
    ("GET", "/messages/{message_id}/explain"): Role.VIEWER,
    ("GET", "/metrics"): Role.VIEWER,
    ("GET", "/openapi.json"): Role.VIEWER,
    ("GET", "/queue/dlq"): Role.VIEWER,
    ("GET", "/queue/stats"): Role.VIEWER,
    ("GET", "/health/cron"): Role.VIEWER,
    ("GET", "/health/cron/{service}"): Role.VIEWER,
    ("GET", "/tasks"): Role.VIEWER,
    ("GET", "/tasks/{name}"): Role.VIEWER,
    ("PATCH", "/bots/{bot_id}/chats/{chat_id}"): Role.OPERATOR,
    ("POST", "/bots/{bot_id}/chats/import"): Role.OPERATOR,
    ("PATCH", "/tasks/{name}"): Role.OPERATOR,
    ("POST", "/tasks/{name}/run"): Role.OPERATOR,
    ("DELETE", "/tasks/{name}"): Role.OPERATOR,
    ("GET", "/services"): Role.VIEWER,
    ("GET", "/services/{name}"): Role.VIEWER,
    ("GET", "/services/{name}/calls"): Role.VIEWER,
    ("GET", "/services/calls/{call_id}/explain"): Role.VIEWER,
    ("PUT", "/services/{name}/hold"): Role.OPERATOR,
    ("DELETE", "/services/{name}/hold"): Role.OPERATOR,
    ("PUT", "/services/{name}/breaker"): Role.OPERATOR,
    ("PUT", "/services/{name}/operations/{operation}/hold"): Role.OPERATOR,
    ("DELETE", "/services/{name}/operations/{operation}/hold"): Role.OPERATOR,
    ("PUT", "/services/{name}/operations/{operation}/breaker"): Role.OPERATOR,
    ("PATCH", "/services/{name}"): Role.ADMIN,
    ("GET", "/audit"): Role.ADMIN,
    ("GET", "/keys"): Role.ADMIN,
    ("POST", "/keys/rotate"): Role.ADMIN,
    ("DELETE", "/services/{name}/cache"): Role.OPERATOR,
    ("DELETE", "/services/{name}/changes"): Role.ADMIN,
    ("POST", "/alerts/test"): Role.OPERATOR,
    ("DELETE", "/messages"): Role.OPERATOR,
    ("DELETE", "/messages/{message_id}"): Role.OPERATOR,
    ("DELETE", "/queue/dlq"): Role.OPERATOR,
    ("PATCH", "/bots/{bot_id}"): Role.OPERATOR,
    ("POST", "/messages"): Role.OPERATOR,
    ("POST", "/messages/batch"): Role.OPERATOR,
    ("POST", "/queue/dlq/replay"): Role.OPERATOR,
    ("DELETE", "/bots/{bot_id}"): Role.ADMIN,
    ("DELETE", "/limits"): Role.ADMIN,
    ("PATCH", "/limits"): Role.ADMIN,
    ("POST", "/bots"): Role.ADMIN,
    ("GET", "/bots/{bot_id}/webhook-secret"): Role.ADMIN,
    ("POST", "/bots/{bot_id}/webhook-secret"): Role.ADMIN,
}
"""What docs/operations.md says in words."""


NAMED = {
    "bot_id": 7,
    "message_id": "none",
    "name": "shop",
    "operation": "pay",
    "call_id": "none",
    "service": "poll",
    "chat_id": 7,
    "broadcast_id": 7,
    "user_id": "none",
    "token_id": "none",
    "session_id": "none",
}


def test_every_route_stands_in_the_table_of_roles() -> None:
    assert set(guarded()) == set(NEEDED)


@pytest.mark.parametrize(("method", "path"), NEEDED)
async def test_a_route_is_open_to_its_role_and_those_above_and_to_no_other(
    world: World, method: str, path: str
) -> None:
    answers = {
        role: (await world.of(role).request(method, path.format_map(NAMED), content=b"nonsense")) for role in Role
    }

    needed = NEEDED[method, path]
    assert {role for role, answer in answers.items() if answer.status_code != 403} == {
        role for role in Role if role >= needed
    }
    refused = [error_of(answer) for role, answer in answers.items() if role < needed]
    assert refused == [(403, "not_allowed", f"this needs the role {needed.name.lower()}")] * len(refused)


@pytest.mark.parametrize("change", [{"behaviours": {}}, {"updates": "none"}, {"defaults": {}}, {"paused": True}])
async def test_an_operator_pauses_a_bot_and_changes_nothing_else_of_it(world: World, change: dict[str, Any]) -> None:
    answer = await world.of(Role.OPERATOR).patch("/bots/42", json=change)

    assert answer.status_code == (200 if "paused" in change else 403)


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

    assert [secret for _, secret in compared] == [
        *(sha256(each.encode()).digest() for each in TOKENS.values()),
        *[SECRET.encode()] * 2,  # once more, as it was read from the database
    ]


async def test_a_token_that_is_no_text_is_refused_like_any_other(world: World) -> None:
    response = await world.anonymous.get("/bots", headers={b"Authorization": b"Bearer schl\xfcssel \xff\x80"})

    assert error_of(response)[:2] == (401, "not_authenticated")


async def test_an_address_with_many_wrong_tokens_must_wait_and_a_known_token_from_there_is_served(world: World) -> None:
    await world.client.get("/bots")

    wrong = [await world.anonymous.get("/bots", headers={"Authorization": f"Bearer {n}"}) for n in range(AT_ONCE + 2)]
    unproven = await world.of(Role.VIEWER).get("/bots")
    proven = await world.client.get("/bots")

    assert [each.status_code for each in wrong] == [401] * AT_ONCE + [429] * 2
    assert error_of(wrong[-1])[1] == error_of(unproven)[1] == "too_many_wrong_tokens"
    assert wrong[-1].headers["Retry-After"] == "1"
    assert proven.status_code == 200
    assert world.metrics.refused_tokens == AT_ONCE + 3


async def test_a_request_without_a_token_does_not_count_as_wrong(world: World) -> None:
    for _ in range(AT_ONCE):
        await world.anonymous.get("/bots")

    assert (await world.client.get("/bots")).status_code == 200


async def test_health_is_answered_to_an_address_with_many_wrong_tokens(world: World) -> None:
    for number in range(AT_ONCE):
        answer = await world.anonymous.get("/health", headers={"Authorization": f"Bearer {number}"})

        assert (answer.status_code, answer.json()) == (200, {"status": "up"})
    assert (await world.anonymous.get("/bots", headers={"Authorization": "Bearer x"})).status_code == 429


def test_services_do_not_show_a_token(world: World) -> None:
    assert [token for token in TOKENS.values() if token in repr(world.dependencies)] == []
