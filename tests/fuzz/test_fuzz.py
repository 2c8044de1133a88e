"""Requests as no client should make them are answered below 500; ``python -m tests.fuzz`` makes more, for longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tempogram.bot.runtime.http_server import listening, server
from tests.api.fakes import ADMIN_TOKEN, BOT_TOKEN, World
from tests.fuzz import exchange
from tests.fuzz.exchange import trouble_with
from tests.fuzz.requests import Input, Target
from tests.fuzz.run import input_of

SEED = 7
REQUESTS = 400
TARGET = Target(BOT_TOKEN, ADMIN_TOKEN)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    running, listener = server(World().app), listening("127.0.0.1", 0)
    port = listener.getsockname()[1]
    task = asyncio.create_task(running.serve(sockets=[listener]))
    await running.ready.wait()
    yield port
    running.end()
    await task


async def test_no_request_is_answered_by_an_error_of_ours_or_not_at_all(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MORE_S", 0.01)

    troubles = [await trouble_with(input_of(SEED, number, TARGET), port) for number in range(REQUESTS)]

    assert [(number, trouble) for number, trouble in enumerate(troubles) if trouble is not None] == []


async def test_a_request_without_an_answer_is_noticed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ANSWER_S", 0.1)
    monkeypatch.setattr(exchange, "MORE_S", 0.01)
    half = Input(b"GET /health HTTP/1.1\r\n", is_whole=True)

    assert await trouble_with(half, port) == "no answer, and no end, within 0.1 s"
    assert await trouble_with(replace(half, is_whole=False), port) is None


def test_a_request_is_known_by_its_seed_and_number() -> None:
    assert [input_of(SEED, number) for number in range(20)] == [input_of(SEED, number) for number in range(20)]
    assert len({input_of(SEED, number).raw for number in range(20)}) == 20
