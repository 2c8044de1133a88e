from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest

from tempogram.engine.services.errors import CircuitOpen
from tests.api.fakes import World, error_of
from tests.engine.services.test_services import settled
from tests.fakes import Clock


@pytest.fixture(autouse=True)
async def begun(world: World) -> None:
    await world.dependencies.changed_services.begin()


async def once() -> str:
    return "called"


async def test_all_services_are_listed_with_what_is_left_of_each_operation(world: World) -> None:
    await world.services.call("shop", "pay", once)

    (shop,) = (await world.client.get("/services")).json()["services"]

    assert (shop["name"], shop["under_way"], shop["concurrency"], shop["hold"]) == ("shop", 0, 2, None)
    assert shop["operations"]["pay"] == {
        "count": 9,
        "window_ms": 1_000,
        "left": 8,
        "tokens_left": None,
        "under_way": 0,
        "waiting": 0,
        "hold": None,
        "breaker": "closed",
    }


async def test_one_service_is_shown_with_its_declaration_and_its_limiters(world: World) -> None:
    shop = (await world.client.get("/services/shop")).json()

    assert (shop["version"], shop["changes"], shop["retries"], shop["breaker"]["failures"]) == (2, {}, 3, 5)
    assert [each["name"] for each in shop["limiters"]] == ["shop"]
    assert shop["operations"]["pay"]["limiter"]["limit"] == {
        "count": 9, "window_ms": 1_000, "burst": None, "apart_ms": 0, "concurrency": 0,
    }  # fmt: skip


async def test_a_change_holds_at_once_and_is_shown_until_it_is_reset(world: World) -> None:
    changed = (await world.client.patch("/services/shop", json={"max_concurrent": 3})).json()

    assert changed["limiters"][0]["limit"]["concurrency"] == 3
    assert changed["changes"] == {"concurrency": 3}
    reset = (await world.client.delete("/services/shop/changes")).json()
    assert (reset["limiters"][0]["limit"]["concurrency"], reset["changes"]) == (2, {})
    assert reset["version"] > changed["version"]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 422, "say what to change, in the words of services.toml"),
        ([], 422, "the body should be a JSON object, sent with Content-Type: application/json"),
        ({"retrys": 1}, 400, "retrys is no setting of a service; there are deadline_s, delay_s, log_level, "),
        ({"concurrency": 10_001}, 400, "concurrency is 10001; it must be a whole number from 0 to 10,000"),
        ({"operations": {"pay": {"window_ms": 0}}}, 400, "a count of 9 in a window of 0 ms is no limit; set both"),
        ({"operations": {"pai": {"count": 1}}}, 404, "shop has no operation 'pai'; it has pay, read"),
    ],
)
async def test_a_wrong_change_of_a_service_is_one_sentence_and_changes_nothing(
    world: World, body: Any, status: int, sentence: str
) -> None:
    before = (await world.client.get("/services/shop")).json()

    response = await world.client.patch("/services/shop", json=body)

    assert (response.status_code, error_of(response)[2][: len(sentence)]) == (status, sentence)
    assert (await world.client.get("/services/shop")).json() == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/services/shp", None),
        ("GET", "/services/shp/calls", None),
        ("PATCH", "/services/shp", {"retries": 1}),
        ("DELETE", "/services/shp/changes", None),
        ("PUT", "/services/shp/hold", {"seconds": 1}),
        ("DELETE", "/services/shp/hold", None),
        ("PUT", "/services/shp/breaker", {"state": "open"}),
    ],
)
async def test_an_unknown_service_is_not_found_and_the_known_ones_are_named(
    world: World, method: str, path: str, body: Any
) -> None:
    response = await world.client.request(method, path, json=body)

    assert error_of(response) == (404, "not_found", "there is no service 'shp'; declared are shop")


@pytest.mark.parametrize(
    ("method", "what", "body"),
    [("PUT", "hold", {"seconds": 1}), ("DELETE", "hold", None), ("PUT", "breaker", {"state": "closed"})],
)
async def test_an_unknown_operation_is_not_found_and_the_known_ones_are_named(
    world: World, method: str, what: str, body: Any
) -> None:
    response = await world.client.request(method, f"/services/shop/operations/pai/{what}", json=body)

    assert error_of(response) == (404, "not_found", "shop has no operation 'pai'; it has pay, read")


async def test_an_operation_is_held_with_the_reason_and_released(world: World) -> None:
    held = await world.client.put(
        "/services/shop/operations/pay/hold", json={"seconds": 600, "reason": "their maintenance"}
    )

    limiter = held.json()["operations"]["pay"]["limiter"]
    assert limiter["hold"].startswith("until ")
    assert limiter["hold"].endswith(", their maintenance")
    waiting = asyncio.create_task(world.services.call("shop", "pay", once))
    await settled()
    assert not waiting.done()
    assert await world.services.call("shop", "read", once) == "called"
    released = await world.client.delete("/services/shop/operations/pay/hold")
    assert released.json()["operations"]["pay"]["limiter"]["hold"] is None
    assert await waiting == "called"


async def test_a_service_is_held_with_all_its_operations(world: World) -> None:
    held = (await world.client.put("/services/shop/hold", json={"seconds": 600})).json()

    assert held["limiters"][0]["hold"].endswith(", by hand")
    assert (await world.client.delete("/services/shop/hold")).json()["limiters"][0]["hold"] is None


@pytest.mark.parametrize("seconds", [0.001, 31 * 86_400])
async def test_the_shortest_and_the_longest_hold_are_accepted_while_time_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    ticks = count(world.clock())
    monkeypatch.setattr(Clock, "__call__", lambda _: next(ticks))

    response = await world.client.put("/services/shop/hold", json={"seconds": seconds})

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"seconds": 0}, "seconds"),
        ({"seconds": 31 * 86_400 + 1}, "seconds"),
        ({"seconds": 1, "reason": "x" * 101}, "reason"),
        ({"seconds": 1, "reason": "a\x1b[2J"}, "reason"),
        ({}, "seconds"),
    ],
)
async def test_a_hold_without_bounds_is_refused(world: World, body: Any, field: str) -> None:
    status, code, sentence = error_of(await world.client.put("/services/shop/hold", json=body))

    assert (status, code, sentence.startswith(field)) == (422, "invalid", True)
    assert (await world.client.get("/services/shop")).json()["limiters"][0]["hold"] is None


async def test_a_breaker_is_opened_and_closed_by_hand(world: World) -> None:
    opened = await world.client.put("/services/shop/operations/pay/breaker", json={"state": "open"})

    assert opened.json()["operations"]["pay"]["breaker"] == {
        "state": "open", "open_until": None, "opened_by_hand": True,
    }  # fmt: skip
    with pytest.raises(CircuitOpen):
        await world.services.call("shop", "pay", once)
    closed = await world.client.put("/services/shop/breaker", json={"state": "closed"})
    assert closed.json()["operations"]["pay"]["breaker"]["state"] == "closed"
    assert await world.services.call("shop", "pay", once) == "called"


async def test_a_call_that_waits_is_listed_and_explained(world: World) -> None:
    release = asyncio.Event()
    calls = [asyncio.create_task(world.services.call("shop", "read", release.wait)) for _ in range(3)]
    await settled()

    (waiting,) = (await world.client.get("/services/shop/calls?limit=10")).json()["calls"]
    explained = (await world.client.get(f"/services/calls/{waiting['id']}/explain")).json()

    assert explained == waiting
    assert (waiting["operation"], waiting["stands_at"], waiting["ahead"]) == ("shop:read", "shop", 0)
    assert waiting["reason"] == "all 2 places of shop are taken"
    release.set()
    await asyncio.gather(*calls)
    gone = await world.client.get(f"/services/calls/{waiting['id']}/explain")
    assert error_of(gone)[:2] == (404, "not_found")
