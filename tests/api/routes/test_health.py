from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tempogram.api.usecases import monitoring
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.resilience.conditions import Condition
from tests.api.fakes import World


async def test_health_needs_no_token(world: World) -> None:
    response = await world.anonymous.get("/health")

    assert (response.status_code, response.json()) == (200, {"status": "up"})


@pytest.mark.parametrize("answer", [False, RuntimeError("10.0.0.5 is away")])
async def test_health_without_a_token_has_no_details(world: World, answer: bool | Exception) -> None:  # noqa: FBT001
    world.health.answer = answer

    response = await world.anonymous.get("/health")

    assert (response.status_code, response.json()) == (503, {"status": "down"})


@pytest.mark.parametrize(("answer", "lines"), [(LedgerError("away"), 0), (RuntimeError("ours"), 1)])
async def test_an_unavailable_ledger_is_not_logged_at_each_health_check(
    world: World, answer: Exception, lines: int
) -> None:
    world.health.answer = answer

    with capture_logs() as logs:
        response = await world.anonymous.get("/health")

    assert response.status_code == 503
    assert [each["event"] for each in logs].count("health_check_failed") == lines


async def test_a_ledger_that_does_not_answer_in_time_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "TIMEOUT_S", 0.001)
    world.health.__class__ = type("Hanging", (type(world.health),), {"__call__": lambda _self: asyncio.Event().wait()})

    assert (await world.anonymous.get("/health")).status_code == 503


async def test_conditions_are_shown_only_with_a_token(world: World) -> None:
    world.conditions.begin(Condition.REDIS_AWAY, "connection refused")

    with_token = (await world.client.get("/health")).json()
    without_token = (await world.anonymous.get("/health")).json()
    with_wrong_token = (await world.anonymous.get("/health", headers={"Authorization": "Bearer wrong"})).json()

    assert with_token == {"status": "up", "conditions": ["redis_away"]}
    assert without_token == with_wrong_token == {"status": "up"}


async def test_each_condition_is_a_metric_too(world: World) -> None:
    world.conditions.begin(Condition.LEDGER_AWAY, "connection refused")

    numbers = (await world.client.get("/metrics?format=json")).json()

    assert numbers['telegram_condition{condition="ledger_away"}'] == 1
    assert numbers['telegram_condition{condition="redis_away"}'] == 0
