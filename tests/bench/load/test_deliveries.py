"""Updates come at their instants, whatever becomes of those before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest

from bench.load.deliveries import Delivered, Deliveries, Webhook, delivering_session
from bench.load.plan import PlannedUpdate
from tempogram.simulator.server.delivery import SECRET_HEADER

SLOW_MS = 100.0
CLOCK_MS = 1.0
"""The event loop rounds its timers by as much."""


@dataclass
class Bots:
    """An engine's webhook: slow for one text, and refusing another one at first."""

    slow: str = ""
    refused: str = ""
    came: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)

    async def receive(self, request: BaseRequest) -> web.Response:
        text = msgspec.json.decode(await request.read())["message"]["text"]
        self.came.append(text)
        self.secrets.add(request.headers[SECRET_HEADER])
        if text == self.slow:
            await asyncio.sleep(SLOW_MS / 1_000)
        is_refused = text == self.refused and self.came.count(text) == 1
        return web.Response(status=503 if is_refused else 200)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Deliveries]:
        runner = web.ServerRunner(web.Server(self.receive))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        webhook = Webhook(f"http://127.0.0.1:{runner.addresses[0][1]}/", "the-secret", "a_bot")
        async with delivering_session() as session:
            yield Deliveries({1: webhook, 2: webhook}, session)
        await runner.cleanup()

    async def get(self, updates: Sequence[PlannedUpdate]) -> list[Delivered]:
        async with self.serve() as deliveries:
            return await deliveries.run(updates)


def planned(number: int, due_ms: float, *, chat_id: int = 7, bot_id: int = 1) -> PlannedUpdate:
    return PlannedUpdate(number, due_ms, bot_id, chat_id=chat_id, user_id=7)


async def test_a_slow_webhook_puts_no_later_update_off() -> None:
    bots = Bots(slow="question 0")

    slow, next_one = await bots.get([planned(0, 0.0), planned(1, 5.0, chat_id=8)])

    assert slow.taken_ms >= SLOW_MS - CLOCK_MS
    assert next_one.late_ms < slow.taken_ms - 5.0, "it began before the slow one was done"


async def test_an_update_that_waits_for_the_one_before_it_in_its_chat_counts_from_its_own_instant() -> None:
    _, waited = await Bots(slow="question 0").get([planned(0, 0.0), planned(1, 5.0)])

    assert waited.taken_ms >= SLOW_MS - 5.0 - CLOCK_MS
    assert waited.tries == 1


async def test_the_updates_of_a_chat_come_one_after_another_in_order() -> None:
    bots = Bots(slow="question 1")

    await bots.get([planned(number, 0.0) for number in range(4)])

    assert bots.came == [f"question {number}" for number in range(4)]


async def test_an_update_that_is_refused_comes_again_with_its_secret() -> None:
    bots = Bots(refused="question 0")

    (delivered,) = await bots.get([planned(0, 0.0)])

    assert delivered.tries == 2
    assert bots.came == ["question 0", "question 0"]
    assert bots.secrets == {"the-secret"}
