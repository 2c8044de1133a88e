"""A bot's life while the program runs: added, heard, its secret changed, polled, removed."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tempogram.bot import wiring
from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.http_server import address_of, listening, server
from tempogram.bot.runtime.lifecycle import running
from tempogram.bot.updates import webhooks
from tempogram.bot.wiring import Program
from tempogram.simulator import Simulator, SimulatorSettings
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN

BOT_ID = 42
GRACE_S = 0.5
EVERY_S = 0.01


@asynccontextmanager
async def served(simulator: Simulator, telegram_url: str, directory: Path) -> AsyncIterator[tuple[Program, str]]:
    """Run the program without a bot, where Telegram reaches it."""
    with listening("127.0.0.1", 0) as listener:
        settings = Settings(
            telegram_api_url=telegram_url,
            public_url=address_of(listener),
            admin_token=SecretStr(ADMIN_TOKEN),
            data_dir=directory,
            telegram_global_limit=0,
            telegram_bot_limit=0,
        )
        async with wiring.program(settings) as program, running(program):
            serving = server(wiring.app_of(program))
            task = asyncio.create_task(serving.serve(sockets=[listener]))
            await serving.ready.wait()
            program.front.updates.update_sources.start()
            yield program, address_of(listener)
            serving.end()
            await task
            await program.front.updates.update_sources.stop()


@pytest.fixture
def simulator() -> Simulator:
    # It knows no limit for messages, so that every update is answered soon.
    simulator = Simulator(SimulatorSettings(any_webhook_url=True, bot_limit=0, private_limit=0, group_limit=0))
    simulator.add_bot(TOKEN, "the_bot")
    return simulator


async def test_no_update_is_lost_while_a_bot_is_added_rotated_polled_and_removed(
    tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "GRACE_S", GRACE_S)
    bot = simulator.telegram.world.bots[BOT_ID]
    said: list[str] = []

    async def updates() -> None:
        users = [simulator.add_user(f"Anna {number}") for number in range(200)]
        while True:
            said.append(f"word {len(said)}")
            users[len(said) % 200].says(bot, said[-1])
            await asyncio.sleep(EVERY_S)

    async with simulator.serve() as telegram, served(simulator, telegram.url, tmp_path) as (program, url):
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            fleet = program.front.fleet
            added = await client.post("/bots", json={"token": TOKEN, "behaviours": {"echo": {}}})
            await until(lambda: bot.webhook is not None)
            talking = asyncio.create_task(updates())
            await until(lambda: len(said) > 20)

            first = bot.webhook.secret_token if bot.webhook else ""
            rotated = await client.post(f"/bots/{BOT_ID}/webhook-secret")
            await until(lambda: len(fleet.webhook_secrets(BOT_ID)) == 1)
            second = bot.webhook.secret_token if bot.webhook else ""

            polled = await client.patch(f"/bots/{BOT_ID}", json={"updates": "polling"})
            await until(lambda: bot.webhook is None and "getUpdates" in simulator.report().by_method)
            await until(lambda: len(bot.mailbox.updates) < 20)
            talking.cancel()
            await until(lambda: set(said) <= answered(simulator))

            removed = await client.delete(f"/bots/{BOT_ID}")
            refused = await client.post("/messages", json={"bot": str(BOT_ID), "chat_id": 5, "text": "x"})
            gone = await client.get(f"/bots/{BOT_ID}")

    assert [each.status_code for each in (added, rotated, polled, removed)] == [201, 202, 200, 200]
    assert (added.json()["updates"], polled.json()["updates"]) == ("webhook", "polling")
    assert first != second
    assert bot.last_error == ""
    assert sorted(texts(simulator)) == sorted(said)
    assert (refused.status_code, gone.status_code) == (400, 404)


def texts(simulator: Simulator) -> list[str]:
    calls = simulator.telegram.record.calls(since=0, limit=100_000)
    return [call["text"] for call in calls if call["method"] == "sendMessage" and call["code"] == 200]


def answered(simulator: Simulator) -> set[str]:
    return set(texts(simulator))


async def until(holds: Callable[[], bool], *, within_s: float = 20) -> None:
    """Ask again and again: what changes is Telegram's, or the program's own."""
    until_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until_s
        await asyncio.sleep(0.01)


async def test_messages_of_a_bot_whose_token_cannot_be_read_wait_until_it_is_entered_anew(
    tmp_path: Path, simulator: Simulator
) -> None:
    other = "43:token-of-another-bot"
    simulator.add_bot(other, "the_other_bot")
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with simulator.serve() as telegram:
        async with (
            served(simulator, telegram.url, tmp_path) as (_, url),
            httpx.AsyncClient(base_url=url, headers=headers) as client,
        ):
            for token in (TOKEN, other):
                await client.post("/bots", json={"token": token, "behaviours": {}, "updates": "none"})
        with closing(sqlite3.connect(tmp_path / "tempogram.db", isolation_level=None)) as connection:
            connection.execute("UPDATE bots SET sealed_token = x'00' WHERE bot_id = 42")

        async with (
            served(simulator, telegram.url, tmp_path) as (program, url),
            httpx.AsyncClient(base_url=url, headers=headers) as client,
        ):
            sent = {
                bot: await client.post("/messages", json={"bot": bot, "chat_id": 7, "text": "hello"}) for bot in BOTS
            }
            ids = {bot: answer.json()["id"] for bot, answer in sent.items()}
            await until_sent(client, ids["43"])
            shown, health = (await client.get("/bots/42")).json(), (await client.get("/health")).json()
            waiting = (await client.get(f"/messages/{ids['42']}")).json()["status"]
            await client.post("/bots", json={"token": TOKEN})
            await until_sent(client, ids["42"])

            assert (shown["paused_by"], waiting, health["status"]) == ("token_unreadable", "queued", "up")
            assert "token_unreadable" in health["conditions"]
            assert program.queue.conditions.current == []


BOTS = ("42", "43")


async def until_sent(client: httpx.AsyncClient, message_id: str) -> None:
    until_s = time.monotonic() + 20
    while (await client.get(f"/messages/{message_id}")).json()["status"] != "sent":
        assert time.monotonic() < until_s
        await asyncio.sleep(EVERY_S)
