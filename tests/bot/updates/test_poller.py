"""Long polling for each bot without a webhook."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from structlog.testing import capture_logs

from tempogram.api.core.ports import IntakeFull, Refusal
from tempogram.bot.updates import poller as poller_module
from tempogram.bot.updates.poller import Poller
from tempogram.engine.model.errors import LedgerError
from tempogram.simulator import Fault, Simulator
from tests.bot.fakes import BOT_ID, TOKEN
from tests.engine.desk import soon

NEVER_MIND = (LedgerError("away"), IntakeFull("full"))


@dataclass
class Inbox:
    """An intake that refuses with each of ``refusals`` first."""

    refusals: list[Exception] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    got: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, bot_id: int, body: bytes) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.texts.append(json.loads(body)["message"]["text"])
        self.got.set()


@dataclass
class World:
    simulator: Simulator
    inbox: Inbox
    poller: Poller

    def say(self, *texts: str) -> None:
        user = self.simulator.add_user("Anna")
        for text in texts:
            user.says(self.simulator.telegram.world.bots[BOT_ID], text)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    simulator, inbox = Simulator(), Inbox()
    simulator.add_bot(TOKEN, "the_bot")
    async with simulator.serve() as served, aiohttp.ClientSession() as session:
        poller = Poller(bot_id=BOT_ID, session=session, api_url=served.url, token_of={BOT_ID: TOKEN}.get, intake=inbox)
        yield World(simulator, inbox, poller)


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller_module, "PAUSE_S", 0.0)


@contextlib.asynccontextmanager
async def running(poller: Poller) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(poller.run())
    yield task
    task.cancel()
    await asyncio.wait([task])


async def test_polled_updates_are_stored_in_order_and_confirmed(world: World) -> None:
    world.say("one", "two")

    first = await world.poller.poll_once()
    world.say("three")
    second = await world.poller.poll_once()

    assert (first, second) == (2, 1)
    assert world.inbox.texts == ["one", "two", "three"]


@pytest.mark.parametrize("error", NEVER_MIND, ids=repr)
async def test_the_offset_moves_only_after_an_update_is_stored(world: World, error: Exception) -> None:
    world.say("one", "two")
    world.inbox.refusals = [error]

    with pytest.raises(type(error)):
        await world.poller.poll_once()
    await world.poller.poll_once()

    assert world.inbox.texts == ["one", "two"]


@pytest.mark.usefixtures("restless")
async def test_an_unavailable_ledger_is_logged_by_the_intake_and_not_by_each_poller(world: World) -> None:
    world.say("one")
    world.inbox.refusals = [LedgerError("away")] * 3

    with capture_logs() as logs:
        async with running(world.poller):
            await soon(world.inbox.got)

    assert (world.inbox.texts, logs) == (["one"], [])


async def test_an_update_that_is_refused_is_confirmed_all_the_same(world: World) -> None:
    world.say("one", "two")
    world.inbox.refusals = [Refusal("nonsense")]

    await world.poller.poll_once()

    assert world.inbox.texts == ["two"]


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("fault", ["5xx", "reset_before", "reset_after"])
async def test_a_failed_poll_is_repeated(world: World, fault: str) -> None:
    world.simulator.order(Fault(kind=fault, method="getUpdates", times=2))  # type: ignore[arg-type]
    world.say("one")

    async with running(world.poller):
        await soon(world.inbox.got)

    assert world.inbox.texts == ["one"]


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize(
    "body",
    [b"<html>", b"\xff", b'{"ok":true,"description":"\xff"}', b'{"ok":true,"result":' + b"[" * 50_000, b"[]", b""],
    ids=lambda body: repr(body[:30]),
)
async def test_an_answer_that_is_not_telegrams_does_not_end_the_polling(world: World, body: bytes) -> None:
    asked_again, answers = asyncio.Event(), iter([body])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        content = next(answers, None)
        if content is None:
            asked_again.set()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        poller = Poller(bot_id=BOT_ID, session=session, api_url=url, token_of={BOT_ID: TOKEN}.get, intake=world.inbox)
        async with running(poller) as task:
            await soon(asked_again)
            is_alive = not task.done()

    assert is_alive
