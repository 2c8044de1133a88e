from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest
from structlog.testing import capture_logs

from tempogram.api.security.audited import UNAUDITED, is_audited
from tempogram.engine.model.errors import LedgerAway
from tempogram.storage.audit import Change
from tests.api.fakes import World

CANARY = "canary-4711"


@pytest.mark.parametrize(
    ("method", "path", "body", "action", "before", "after"),
    [
        (
            "PATCH", "/limits", {"group": {"count": 5}}, "PATCH /limits",
            {"version": 1, "group": {"count": 20, "window_s": 60.0, "burst": None}},
            {"version": 2, "group": {"count": 5, "window_s": 60.0, "burst": None}},
        ),
        ("PATCH", "/bots/42", {"weight": 3}, "PATCH /bots/{bot_id}", {"weight": 1}, {"weight": 3}),
        ("POST", "/users", {"name": "ada", "role": "viewer", "password": f"{CANARY} {CANARY}"}, "POST /users", {},
         {"id": ANY, "name": "ada", "role": "viewer", "is_active": True}),
        ("POST", "/tokens", {"name": "ci", "role": "viewer", "bots": [42]}, "POST /tokens", {},
         {"id": ANY, "name": "ci", "role": "viewer", "user": None, "bots": [42], "expires_at_ms": None}),
        ("PATCH", "/services/shop", {"retries": 1}, "PATCH /services/{name}", {}, {"retries": 1}),
        ("PUT", "/services/shop/hold", {"seconds": 60, "reason": CANARY}, "PUT /services/{name}/hold", {},
         {"held_for_s": 60.0}),
        ("PUT", "/services/shop/breaker", {"state": "open"}, "PUT /services/{name}/breaker", {},
         {"breaker": "open"}),
        ("POST", "/queue/dlq/replay", {"all": True}, "POST /queue/dlq/replay", {},
         {"ids": None, "bot": None, "replayed": 0}),
        ("PATCH", "/bots/42/chats/7", {"tags": [CANARY]}, "PATCH /bots/{bot_id}/chats/{chat_id}", {},
         {"fields": ["tags"]}),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value and " " in value else "",
)  # fmt: skip
async def test_a_change_is_written_down_with_what_was_there_before(
    world: World, method: str, path: str, body: Any, action: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    response = await world.client.request(method, path, json=body)

    assert response.status_code < 400, response.text
    (change,) = world.audit.changes
    assert (change.who, change.role, change.action) == ("admin", "admin", action)
    assert (change.before, change.after) == (before, after)
    assert CANARY not in repr(change)


async def test_the_target_is_what_the_path_names(world: World) -> None:
    await world.client.put("/services/shop/operations/pay/hold", json={"seconds": 60, "reason": "x"})

    assert world.audit.changes[0].target == "name=shop operation=pay"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/limits", None),
        ("POST", "/messages", {"bot": 42, "chat_id": 7, "text": CANARY}),
        ("PATCH", "/limits", {"group": {"count": -1}}),
        ("PATCH", "/bots/43", {"paused": True}),
        ("DELETE", "/services/twillio/changes", None),
    ],
)
async def test_what_reads_sends_or_is_refused_is_not_written_down(
    world: World, method: str, path: str, body: Any
) -> None:
    await world.client.request(method, path, json=body)

    assert world.audit.changes == []


async def test_a_change_that_cannot_be_written_down_is_made_and_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(change: Change) -> None:
        raise LedgerAway("the database is away")

    monkeypatch.setattr(world.audit, "add", away)

    with capture_logs() as logs:
        response = await world.client.patch("/services/shop", json={"retries": 1})

    assert response.status_code == 200
    (line,) = [log for log in logs if log["event"] == "change_not_audited"]
    assert (line["who"], line["action"], line["target"]) == ("admin", "PATCH /services/{name}", "name=shop")


async def test_every_route_that_is_left_out_is_one(world: World) -> None:
    paths = (await world.client.get("/openapi.json")).json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}

    assert {action for action in routes if not is_audited(action)} >= UNAUDITED
    assert routes >= UNAUDITED


async def test_the_list_of_changes_goes_on_where_a_page_ended(world: World) -> None:
    for retries in range(5):
        await world.client.patch("/services/shop", json={"retries": retries})
        world.clock.advance(1)

    first = (await world.client.get("/audit", params={"limit": 3})).json()
    rest = (await world.client.get("/audit", params={"limit": 3, "before": first["next_before"]})).json()

    retries_seen = [each["after"]["retries"] for page in (first, rest) for each in page["changes"]]
    assert retries_seen == [4, 3, 2, 1, 0]
    assert rest["next_before"] is None
    assert (await world.client.get("/audit", params={"who": "user:anna"})).json()["changes"] == []
