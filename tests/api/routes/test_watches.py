from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from tempogram.api.security.principals import Role
from tempogram.engine.model.watches import HOUR_MS, SHIPPED_PLANS
from tempogram.storage.database.database import Database
from tests import ROOT
from tests.api.fakes import BOT_ID, World, error_of
from tests.engine.watches.world import BEN
from tests.engine.watches.world import World as WatchWorld
from tests.fakes import Clock

TEA: dict[str, str | int] = {"bot": BOT_ID, "chat_id": 7, "source": "prices", "key": "tea"}


@pytest.fixture
async def watching(database: Database, clock: Clock) -> WatchWorld:
    watching = WatchWorld(database, clock)
    await watching.store.ship_plans(SHIPPED_PLANS)
    return watching


@pytest.fixture
def world(world: World, watching: WatchWorld) -> World:
    world.dependencies = replace(world.dependencies, watches=watching.watches)
    world.app.state.dependencies = world.dependencies
    return world


async def test_a_chat_watches_an_item_and_no_longer(world: World) -> None:
    operator = world.of(Role.OPERATOR)
    put = [(await operator.put("/watches/subscriptions", json=TEA)).json() for _ in range(2)]
    seen = (await world.of(Role.VIEWER).get("/watches")).json()
    gone = (await operator.delete("/watches/subscriptions", params=TEA)).json()

    assert put == [{"changed": True}, {"changed": False}]
    assert (seen["preset"], seen["items"], seen["subscriptions"]) == ("priority", 1, 1)
    assert seen["sources"] == [{"name": "prices", "service": "shop", "operation": "item"}]
    assert gone == {"changed": True}


async def test_items_and_what_was_observed_of_them_are_shown(world: World, watching: WatchWorld) -> None:
    await watching.watch("cup", "tea")
    await watching.run_through()

    page = (await world.client.get("/watches/items", params={"source": "prices", "limit": 1})).json()
    seen = (await world.client.get("/watches/observations", params={"source": "prices", "key": "tea"})).json()
    unknown = await world.client.get("/watches/observations", params={"source": "prices", "key": "pot"})

    assert [(each["key"], each["fields"]) for each in page["items"]] == [("cup", {"price": 1})]
    assert page["next_after"] == "cup"
    assert [(each["before"], each["fields"]) for each in seen["observations"]] == [(None, {"price": 1})]
    assert unknown.status_code == 404


async def test_one_item_more_than_the_plan_allows_is_refused(world: World) -> None:
    plan = {"items_max": 1, "interval_s": 86_400}
    changed = await world.client.put("/watches/plans/standard", json=plan)
    first = await world.client.put("/watches/subscriptions", json=TEA)
    refused = await world.client.put("/watches/subscriptions", json=TEA | {"key": "cup"})

    assert (changed.status_code, first.status_code, refused.status_code) == (200, 200, 400)
    assert error_of(refused)[2] == (
        "this chat watches 1 items, which is all that the plan standard allows; end one with /unwatch first"
    )


async def test_a_chat_is_invited_to_a_plan(world: World) -> None:
    given = await world.client.put("/watches/members", json={"bot": BOT_ID, "chat_id": 7, "plan": "paid"})
    unknown = await world.client.put("/watches/members", json={"bot": BOT_ID, "chat_id": 7, "plan": "gold"})
    plans = (await world.client.get("/watches/plans")).json()["plans"]

    assert given.json()["items_max"] == 100
    assert error_of(unknown)[2] == "there is no plan 'gold'; see GET /watches/plans"
    assert [plan["name"] for plan in plans] == ["free", "paid", "standard"]


async def test_a_plan_is_made_and_given_as_the_documentation_says(world: World) -> None:
    page = (ROOT / "docs" / "watches.md").read_text()
    calls = re.findall(
        r"^\$ curl -X (\w+) http://127.0.0.1:8000(\S+) .+\\\n  -H \"Content-Type: (\S+)\" -d '(.+)'$",
        page,
        re.MULTILINE,
    )

    answers = [
        await world.client.request(
            method, path, content=body.replace("123456", str(BOT_ID)), headers={"Content-Type": kind}
        )
        for method, path, kind, body in calls
    ]

    assert [answer.json()["name"] for answer in answers] == ["gold", "gold"]


@pytest.mark.parametrize(
    "changes",
    [
        {"bot": 4_242},
        {"source": "films"},
        {"key": ""},
        {"key": "a\nb"},
        {"key": "x" * 201},
        {"key": "te\u202ea"},
        {"key": "tea\u200b"},
        {"key": "tea\x9b"},
    ],
)
async def test_what_cannot_be_watched_is_refused(world: World, changes: dict[str, object]) -> None:
    refused = await world.client.put("/watches/subscriptions", json=TEA | changes)

    assert refused.status_code in {400, 422}


@pytest.mark.parametrize("path", ["/watches/items?source=prices&after=", "/watches/observations?source=prices&key="])
async def test_half_a_character_in_a_key_is_refused(world: World, path: str) -> None:
    body = json.dumps(TEA | {"key": "tea\ud800"})
    json_type = {"Content-Type": "application/json"}

    put = await world.client.put("/watches/subscriptions", content=body, headers=json_type)
    asked = await world.client.get(f"{path}tea%ED%A0%80")

    assert put.status_code == 400
    assert asked.status_code in {200, 404, 422}


async def test_the_stats_of_the_queue_tell_how_much_is_watched(world: World, watching: WatchWorld) -> None:
    watching.source.fails = lambda _: True
    await watching.watch("a", "b", "c", "d")
    await watching.watch("a", to=BEN)
    watching.clock.advance(HOUR_MS - watching.clock() % HOUR_MS)
    await watching.run_through()

    stats = (await world.client.get("/queue/stats")).json()
    metrics = (await world.client.get("/metrics?format=json")).json()

    assert stats["watches"] == {
        "items": 4,
        "subscribers": 2,
        "due": 0,
        "failing": 4,
        "digests": 0,
        "pauses_s": {"prices": 5.0},
    }
    assert (metrics["watch_items"], metrics["watch_items_failing"], metrics["watch_subscribers"]) == (4, 4, 2)
    assert metrics['watch_pause_seconds{source="prices"}'] == 5


async def test_a_viewer_changes_nothing(world: World) -> None:
    assert (await world.of(Role.VIEWER).put("/watches/subscriptions", json=TEA)).status_code == 403


async def test_without_a_source_nothing_can_be_watched(world: World) -> None:
    world.app.state.dependencies = replace(world.dependencies, watches=None)

    refused = await world.client.get("/watches")

    assert error_of(refused)[2].startswith("nothing can be watched here, as no source is declared")
