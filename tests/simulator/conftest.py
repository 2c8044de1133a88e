"""A served simulator, and a client that speaks plain HTTP to it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tempogram.simulator import Simulator, SimulatorSettings
from tempogram.simulator.settings import settings_with

TOKEN = "100:abc"
HANGS_S = 60
"""What takes longer on a busy machine hangs."""


@dataclass(slots=True)
class Client:
    """Any Bot API client: no knowledge of the simulator but its address."""

    url: str
    session: aiohttp.ClientSession
    simulator: Simulator
    token: str = TOKEN

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        async with self.session.post(f"{self.url}/bot{self.token}/{method}", json=params) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == answer.get("error_code", 200)
            return answer

    async def send(self, chat_id: int | str, text: str = "hello") -> dict[str, Any]:
        return await self.call("sendMessage", chat_id=chat_id, text=text)

    async def control(self, method: str, path: str, **body: object) -> tuple[int, Any]:
        async with self.session.request(method, f"{self.url}/_sim/{path}", json=body) as response:
            return response.status, await response.json()

    def change(self, **changes: object) -> None:
        self.simulator.change(settings_with(self.simulator.settings, changes))


@dataclass(slots=True)
class Inbox:
    """A webhook that answers with the given statuses in turn, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.BaseRequest) -> web.Response:
        self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
        update = await request.json()
        async with self.arrived:
            self.updates.append(update)
            self.arrived.notify_all()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def wait_for(self, number: int) -> None:
        async with self.arrived, asyncio.timeout(HANGS_S):
            await self.arrived.wait_for(lambda: len(self.updates) >= number)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    simulator = Simulator(SimulatorSettings(redelivery_base_ms=1))
    simulator.add_bot(TOKEN, "echo_bot")
    async with simulator.serve() as served, aiohttp.ClientSession() as session:
        yield Client(served.url, session, simulator)


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    box = Inbox()
    runner = web.ServerRunner(web.Server(box.take), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        box.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield box
    finally:
        await runner.cleanup()
