"""Requests to a service that is strict, slow, failing, hanging, or not there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tempogram.bot.commands.load.plan import Bounds, Plan
from tempogram.bot.commands.load.runner import run
from tempogram.bot.commands.load.seen import Seen
from tempogram.simulator.services.fake_service import FakeService

MINUTE = {"count": 3, "window_ms": 60_000}


async def load(service: FakeService, bounds: Bounds | None = None, **plan: Any) -> Seen:
    words = {"method": "GET", "url": f"{service.url}/api/calls", **plan}
    return await run(Plan(**words), bounds or Bounds())


@pytest.mark.fake_service(**MINUTE)
async def test_a_closed_loop_makes_all_requests_and_counts_their_answers(fake_service: FakeService) -> None:
    seen = await load(fake_service, Bounds(limit=3, window_s=60), requests=10, concurrency=4)

    assert (seen.statuses, seen.begun, seen.errors, seen.window.most) == ({200: 3, 429: 7}, 10, 0, 3)
    assert fake_service.report().calls == 10


@pytest.mark.fake_service(takes_ms=20)
async def test_a_closed_loop_has_no_more_requests_under_way_than_it_may(fake_service: FakeService) -> None:
    await load(fake_service, requests=12, concurrency=3)

    assert fake_service.report().most_at_once == 3


async def test_an_open_loop_begins_requests_though_none_is_answered(fake_service: FakeService) -> None:
    fake_service.hang()

    seen = await load(fake_service, requests=8, rate=100, timeout_s=2, concurrency=100)

    assert fake_service.report().most_at_once == 8
    assert (seen.unanswered, seen.errors) == ({"timed out": 8}, 8)


@pytest.mark.fake_service(takes_ms=100)
async def test_the_latency_of_an_open_loop_is_counted_from_the_planned_instant(fake_service: FakeService) -> None:
    seen = await load(fake_service, requests=5, rate=1_000, concurrency=1)

    assert seen.latency.most_s >= 0.49
    assert seen.late.most_s >= 0.39


async def test_a_duration_ends_the_beginning_of_requests(fake_service: FakeService) -> None:
    seen = await load(fake_service, requests=None, duration_s=0.25, rate=20)

    assert (seen.begun, seen.answered) == (5, 5)


async def test_each_request_has_the_method_body_and_headers(fake_service: FakeService) -> None:
    await load(fake_service, requests=1, method="POST", body=b'{"to": 1}', headers={"X-Team": "red"})

    (call,) = fake_service.calls()
    assert (call.method, call.path, call.json(), call.headers["x-team"]) == ("POST", "/api/calls", {"to": 1}, "red")


async def test_a_service_that_is_not_there_is_no_answer() -> None:
    seen = await load(FakeService("http://127.0.0.1:9"), requests=3)

    assert (seen.unanswered, seen.latency.count, seen.errors) == ({"could not connect": 3}, 0, 3)


async def test_errors_are_answers_from_400_but_429(fake_service: FakeService) -> None:
    fake_service.fail(times=2, status=503)
    fake_service.throttle(times=2)

    seen = await load(fake_service, requests=5, concurrency=1)

    assert (seen.statuses, seen.errors) == ({503: 2, 429: 2, 200: 1}, 2)


async def test_no_task_is_left_at_the_end(fake_service: FakeService) -> None:
    await load(fake_service, requests=20, rate=1_000)

    assert len(asyncio.all_tasks()) == 1
