from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tempogram.simulator.services.server import Server


@pytest.mark.parametrize(
    ("method", "path", "body", "sentence"),
    [
        ("PATCH", "manner", {"mood": "bad"}, "the manner makes no sense: "),
        ("PATCH", "manner", {"hold_ms": 5}, "the manner makes no sense: "),
        ("POST", "rules", {"rules": [{"cuont": 1}]}, "a rule makes no sense: "),
        ("POST", "next", {"state": 500}, ""),
        ("GET", "reports", None, "there is no GET /-/reports"),
    ],
)
async def test_what_the_control_api_does_not_know_is_refused_in_a_sentence(
    method: str, path: str, body: object, sentence: str
) -> None:
    async with (
        Server({}).serve() as url,
        aiohttp.ClientSession(url) as session,
        session.request(method, f"/-/{path}", json=body) as response,
    ):
        answer = await response.json()

    assert response.status == 400
    assert answer["error"].startswith(sentence)


async def test_a_body_that_comes_in_pieces_is_read_whole() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"to": '
        yield b'"+1"}'

    server = Server({})
    async with (
        server.serve() as url,
        aiohttp.ClientSession(url) as session,
        session.post("/calls", data=pieces()) as response,
    ):
        await response.read()

    assert (response.status, server.service.kept[0]["body"]) == (200, '{"to": "+1"}')
