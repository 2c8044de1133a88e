"""The health and the metrics of a process that serves no API are those of one that does."""

from __future__ import annotations

import httpx
import pytest

from tempogram.api.monitoring_app import create_monitoring_app
from tests.api.fakes import ADMIN_TOKEN, World, error_of

BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@pytest.fixture
def alone(world: World) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_monitoring_app(world.dependencies))
    return httpx.AsyncClient(transport=transport, base_url="http://worker")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/health", {}),
        ("GET", "/health", BEARER),
        ("GET", "/metrics?format=json", BEARER),
        ("GET", "/metrics", BEARER),
        ("GET", "/metrics", {}),
        ("GET", "/metrics?format=xml", BEARER),
        ("POST", "/metrics", BEARER),
        ("GET", "/nothing", BEARER),
    ],
)
async def test_it_answers_as_the_api_does(
    world: World, alone: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    expected = await world.anonymous.request(method, path, headers=headers)
    answer = await alone.request(method, path, headers=headers)

    assert (answer.status_code, answer.text) == (expected.status_code, expected.text)
    assert answer.headers["content-type"] == expected.headers["content-type"]


async def test_it_serves_no_messages(alone: httpx.AsyncClient) -> None:
    assert error_of(await alone.post("/messages", headers=BEARER))[:2] == (404, "not_found")
