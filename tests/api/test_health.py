from __future__ import annotations

import asyncio

import pytest

from api import health
from tests.api.fakes import World


async def test_everybody_may_ask_whether_it_is_up(world: World) -> None:
    response = await world.stranger.get("/health")

    assert (response.status_code, response.json()) == (200, {"status": "up"})


@pytest.mark.parametrize("answer", [False, RuntimeError("10.0.0.5 is away")])
async def test_down_is_told_without_details(world: World, answer: bool | Exception) -> None:  # noqa: FBT001
    world.health.answer = answer

    response = await world.stranger.get("/health")

    assert (response.status_code, response.json()) == (503, {"status": "down"})


async def test_no_answer_in_time_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 0.001)
    world.health.__class__ = type("Hanging", (type(world.health),), {"__call__": lambda _self: asyncio.Event().wait()})

    assert (await world.stranger.get("/health")).status_code == 503
