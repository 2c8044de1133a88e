from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.types import Send
from structlog.testing import capture_logs

from tempogram.api.core.errors import TABLE
from tempogram.api.http.unhandled_errors import UnhandledErrors
from tempogram.engine.model.errors import LedgerError, QueueLost
from tests.api.fakes import ADMIN_TOKEN, BOT_TOKEN, SECRET, World, error_of


class Leaky(Exception):
    """An error whose text holds the address of a call to Telegram."""

    def __init__(self) -> None:
        super().__init__(f"cannot connect to https://api.telegram.org/bot{BOT_TOKEN}/getMe")


async def test_an_unknown_route_gets_the_common_error_format(world: World) -> None:
    assert error_of(await world.client.get("/nowhere")) == (404, "not_found", "there is nothing at this path")


async def test_a_wrong_method_gets_the_common_error_format(world: World) -> None:
    response = await world.client.put("/messages")

    assert error_of(response) == (405, "method_not_allowed", "this path does not take this method")


async def test_a_path_with_a_trailing_slash_is_not_redirected(world: World) -> None:
    assert error_of(await world.client.get("/bots/"))[:2] == (404, "not_found")


async def test_an_unhandled_error_is_logged_and_answered_with_a_reference(world: World) -> None:
    world.intake.failure = Leaky()

    with capture_logs() as logs:
        response = await world.anonymous.post(f"/webhook/telegram/{BOT_TOKEN}", content=b"{}")

    status, code, message = error_of(response)
    (entry,) = [each for each in logs if each["event"] == "unhandled_error"]
    assert (status, code) == (500, "internal")
    assert message == f"internal error {entry['reference']}; see the log under this reference"
    assert "Leaky" in entry["traceback"]


async def test_each_request_is_logged_by_its_route_and_never_by_its_path(world: World) -> None:
    with capture_logs() as logs:
        await world.anonymous.post(f"/webhook/telegram/{BOT_TOKEN}", content=b"{}")
        await world.client.get("/messages/abc")
        await world.client.get("/nowhere")
        await world.client.put("/messages")

    assert {each["log_level"] for each in logs if each["event"] == "request"} == {"debug"}
    assert [(each["method"], each["route"], each["status"]) for each in logs if each["event"] == "request"] == [
        ("POST", "/webhook/telegram/{bot_token}", 200),
        ("GET", "/messages/{message_id}", 404),
        ("GET", "none", 404),
        ("PUT", "/messages", 405),
    ]


@pytest.mark.parametrize("error", [LedgerError("away"), QueueLost("gone")])
async def test_an_outage_that_is_a_condition_is_not_logged_at_each_request(world: World, error: Exception) -> None:
    world.intake.failure = error

    with capture_logs() as logs:
        response = await world.anonymous.post(f"/webhook/telegram/{BOT_TOKEN}", content=b"{}")

    assert response.status_code == 503
    assert [each["event"] for each in logs if each["log_level"] != "debug"] == []


async def test_no_log_or_error_contains_a_token(world: World) -> None:
    world.fleet.secrets[42] = [SECRET]
    path = f"/webhook/telegram/{BOT_TOKEN}"
    answers = ""

    with capture_logs() as logs:
        for failure in (None, Leaky(), *(kind.__new__(kind, BOT_TOKEN) for kind in TABLE)):
            world.intake.failure = failure
            for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": SECRET}):
                answers += (await world.anonymous.post(path, content=b"{}", headers=headers)).text
        answers += (await world.anonymous.get(path)).text
        answers += (await world.anonymous.post(f"{path}/more")).text
        answers += (await world.client.post("/bots", json={"token": BOT_TOKEN})).text
        answers += (await world.client.get(f"/messages/{BOT_TOKEN}")).text

    written = answers + repr(logs)
    assert BOT_TOKEN.partition(":")[2] not in written
    assert ADMIN_TOKEN not in written
    assert SECRET not in written


async def test_a_client_that_disconnects_is_not_an_unhandled_error(world: World) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    path = f"/webhook/telegram/{BOT_TOKEN}"
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    with capture_logs() as logs:
        await world.app(scope, gone, send)

    assert sent == []
    assert [each["event"] for each in logs] == ["request"]


async def test_an_error_at_the_start_stops_the_start(world: World) -> None:
    async def broken(_scope: object, _receive: object, _send: object) -> None:
        raise Leaky

    with pytest.raises(Leaky):
        await UnhandledErrors(broken)({"type": "lifespan"}, _never, _never)


async def test_a_response_that_has_started_is_not_started_again(world: World) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def breaks_off(_scope: object, _receive: object, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise Leaky

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    with capture_logs():
        await UnhandledErrors(breaks_off)({"type": "http"}, _never, send)

    assert [event.get("status") for event in sent] == [200]


async def _never(*_: object) -> Any:
    raise AssertionError("this is never called")


async def test_the_description_names_every_route_and_its_errors(world: World) -> None:
    described = (await world.client.get("/openapi.json")).json()

    assert sorted(described["paths"]) == [
        "/alerts",
        "/alerts/test",
        "/audit",
        "/bots",
        "/bots/{bot_id}",
        "/bots/{bot_id}/chats",
        "/bots/{bot_id}/chats/import",
        "/bots/{bot_id}/chats/{chat_id}",
        "/bots/{bot_id}/chats/{chat_id}/erasure",
        "/bots/{bot_id}/chats/{chat_id}/export",
        "/bots/{bot_id}/incoming",
        "/bots/{bot_id}/messages",
        "/bots/{bot_id}/reengagement",
        "/bots/{bot_id}/webhook-secret",
        "/broadcasts",
        "/broadcasts/{broadcast_id}",
        "/broadcasts/{broadcast_id}/cancel",
        "/broadcasts/{broadcast_id}/pause",
        "/broadcasts/{broadcast_id}/preview",
        "/broadcasts/{broadcast_id}/resume",
        "/broadcasts/{broadcast_id}/retry",
        "/broadcasts/{broadcast_id}/start",
        "/health",
        "/health/cron",
        "/health/cron/{service}",
        "/keys",
        "/keys/rotate",
        "/limits",
        "/messages",
        "/messages/batch",
        "/messages/{message_id}",
        "/messages/{message_id}/explain",
        "/metrics",
        "/queue/dlq",
        "/queue/dlq/replay",
        "/queue/stats",
        "/selections/chats",
        "/selections/preview",
        "/services",
        "/services/calls/{call_id}/explain",
        "/services/{name}",
        "/services/{name}/breaker",
        "/services/{name}/cache",
        "/services/{name}/calls",
        "/services/{name}/changes",
        "/services/{name}/hold",
        "/services/{name}/operations/{operation}/breaker",
        "/services/{name}/operations/{operation}/hold",
        "/session",
        "/session/password",
        "/sessions",
        "/sessions/{session_id}",
        "/tasks",
        "/tasks/{name}",
        "/tasks/{name}/run",
        "/tokens",
        "/tokens/{token_id}",
        "/users",
        "/users/{user_id}",
        "/users/{user_id}/link",
        "/users/{user_id}/sessions",
        "/watches",
        "/watches/items",
        "/watches/members",
        "/watches/observations",
        "/watches/plans",
        "/watches/plans/{name}",
        "/watches/subscriptions",
    ]
    submit = described["paths"]["/messages"]["post"]
    assert sorted(submit["responses"]) == ["200", "202", "400", "401", "403", "409", "413", "422", "429", "503"]
    assert submit["security"] == [{"HTTPBearer": []}, {"APIKeyCookie": []}]
    assert submit["responses"]["422"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/ErrorOut"
    }


async def test_a_cancelled_request_forgets_its_waiter(world: World) -> None:
    body = {"bot": 42, "chat_id": 7, "text": "hello"}
    asked = asyncio.create_task(world.client.post("/messages?wait=30", json=body))
    await world.storage.added.wait()

    asked.cancel()  # as when the server ends
    await asked

    assert not world.results._waiting
