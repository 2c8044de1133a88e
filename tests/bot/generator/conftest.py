"""A server with chat completions, and a database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from tempogram.bot.generator.chat_completions import ChatCompletions
from tempogram.engine.model.clock import SystemClock
from tempogram.engine.services.catalogue import service_of, shipped
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services

KEY = "sk-a-secret-key"


def completion(text: str | None) -> str:
    return json.dumps({"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})


@dataclass
class Model:
    """Answers what the test says; None: never."""

    url: str = ""
    status: int = 200
    body: str | None = completion("Seven euros.")
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    bearers: list[str | None] = field(default_factory=list)

    async def take(self, request: web.BaseRequest) -> web.Response:
        self.bearers.append(request.headers.get("Authorization"))
        self.asked.append(await request.json())
        if self.body is None:
            await asyncio.Event().wait()
        return web.Response(status=self.status, text=self.body, headers=self.headers)


def completions_of(
    session: aiohttp.ClientSession, url: str, *, key: str = KEY, timeout_s: float = 0.5, **words: object
) -> ChatCompletions:
    """Return a generator whose calls pass the shipped limits."""
    clock = SystemClock()
    llm = service_of("llm", {"retries": 0, "delay_s": 0.001, **words}, shipped()["llm"])
    services = Services({"llm": llm}, MemoryCallLimiter(clock=clock, after_start=False), clock=clock)
    return ChatCompletions(
        session=session, services=services, api_url=url, api_key=SecretStr(key), model="small", timeout_s=timeout_s
    )


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    model = Model()
    runner = web.ServerRunner(web.Server(model.take), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        model.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield model
    finally:
        await runner.cleanup()


@pytest.fixture
async def completions(model: Model) -> AsyncIterator[ChatCompletions]:
    async with aiohttp.ClientSession() as session:
        yield completions_of(session, model.url)
