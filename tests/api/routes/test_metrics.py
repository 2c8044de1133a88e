from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.engine.limits.limits import Limits
from tempogram.engine.observability.fleet_counts import FleetCounts
from tempogram.engine.observability.metrics import Metrics
from tests.api.fakes import World, error_of
from tests.fakes import MemoryTotals

NAMES = ("telegram_429_count", "telegram_5xx_count", "telegram_rate_limited_drops")


async def test_prometheus_finds_the_stable_names(world: World) -> None:
    world.metrics.throttled = 3

    response = await world.client.get("/metrics")

    lines = response.text.splitlines()
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "telegram_429_count 3.0" in lines
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in NAMES)


@pytest.mark.parametrize(
    ("query", "accept"), [("?format=json", "*/*"), ("", "application/json"), ("", "text/html, application/json;q=0.9")]
)
async def test_json_has_the_same_names_at_the_top(world: World, query: str, accept: str) -> None:
    response = await world.client.get(f"/metrics{query}", headers={"Accept": accept})

    assert response.headers["content-type"] == "application/json"
    assert {name: response.json()[name] for name in NAMES} == dict.fromkeys(NAMES, 0)


async def test_the_format_parameter_takes_precedence_over_the_header(world: World) -> None:
    response = await world.client.get("/metrics?format=text", headers={"Accept": "application/json"})

    assert response.headers["content-type"].startswith("text/plain")


async def test_an_unknown_format_is_refused(world: World) -> None:
    response = await world.client.get("/metrics?format=xml")

    assert error_of(response) == (422, "invalid", "format should be 'text' or 'json', not 'xml'")


async def test_metrics_show_waiting_messages_and_dead_letters(world: World) -> None:
    await world.dead()
    await world.submitted(priority="high")

    numbers = (await world.client.get("/metrics?format=json")).json()

    assert numbers['telegram_waiting{priority="high"}'] == 1
    assert numbers["telegram_dead_letters"] == 1


async def test_a_message_refused_by_a_cap_is_counted_as_dropped() -> None:
    world = World(limits=Limits(chat_cap=1))
    await world.submitted()
    await world.client.post("/messages", json={"bot": 42, "chat_id": 7, "text": "hello"})

    numbers = (await world.client.get("/metrics?format=json")).json()

    assert numbers["telegram_rate_limited_drops"] == 1


async def test_the_counters_are_shown_while_the_ledger_and_the_queue_are_unavailable(world: World) -> None:
    world.storage.asleep = world.broker.asleep = True

    numbers = (await world.client.get("/metrics?format=json")).json()

    assert numbers["telegram_429_count"] == 0
    assert "telegram_dead_letters" not in numbers


async def test_where_several_processes_share_a_queue_the_stable_names_are_sums_over_them(world: World) -> None:
    totals = MemoryTotals()
    await FleetCounts(Metrics(throttled=2, server_errors=1), totals).flush()
    world.app.state.dependencies = replace(world.dependencies, fleet_counts=FleetCounts(world.metrics, totals))
    world.metrics.drops = 4

    numbers = (await world.client.get("/metrics?format=json")).json()
    totals.asleep = True
    world.metrics.throttled = 1
    while_away = (await world.client.get("/metrics?format=json")).json()

    assert [numbers[name] for name in NAMES] == [2, 1, 4]
    assert [while_away[name] for name in NAMES] == [3, 1, 4]
