"""Users who have gone quiet are written to: the whole program, and a clock on which weeks pass in a moment."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tempogram.bot.behaviours.preferences import TEMPLATES
from tempogram.bot.config.settings import Settings
from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.program import TOKEN, Program, program
from tests.end_to_end.quiet_users import DAY_MS, ModelServer, model_server, quiet_users

HELLO = "Hello {first_name}, how are you?"
BEHAVIOURS: dict[str, Any] = {
    "reengagement": {"zone": "Europe/Berlin", "templates": [HELLO]},
    "echo": {},
}
THE_CLOCK_CHANGES_ON_THE_29TH = "2026-03-23T12:00:00+00:00"
MANY = 40


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


async def test_quiet_users_are_written_to_once_and_an_answer_makes_one_active_again(tmp_path: Path) -> None:
    async with quiet_users(tmp_path, starts=THE_CLOCK_CHANGES_ON_THE_29TH, behaviours=BEHAVIOURS) as world:
        for name in ("Anna", "Boris", "Clara"):
            await world.says(name, "hi")
        await world.says("Clara", "/stop")
        await world.pass_days(3)
        await world.says("Boris", "still here")
        await world.pass_days(5)
        after_a_week = {name: list(world.got(name)) for name in world.users}
        await world.says("Anna", "fine")
        await world.pass_days(8)

        assert after_a_week == {
            "Anna": ["hi", "Hello Anna, how are you?"],
            "Boris": ["hi", "still here"],
            "Clara": ["hi", TEMPLATES["stop"]],
        }
        assert world.got("Anna")[2:] == ["fine", "Hello Anna, how are you?"]
        assert world.got("Boris")[2:] == ["Hello Boris, how are you?"]
        assert world.got("Clara")[2:] == []


async def written_in_the_hour(directory: Path, server: ModelServer, **settings: Any) -> list[str]:
    """Return what users get a week after they wrote, in the hour that is theirs."""
    async with quiet_users(
        directory,
        starts="2026-06-01T13:40:00+00:00",
        behaviours={"reengagement": BEHAVIOURS["reengagement"], "commands": {"start": "Welcome!"}},
        llm_api_url=server.url,
        llm_model="small",
        **settings,
    ) as world:
        for number in range(MANY):
            await world.says(f"User{number}", "/start")
        world.calendar.leap(7 * DAY_MS)
        await world.pass_quarters(4)
        return [text for name in world.users for text in world.got(name)[1:]]


async def test_a_model_writes_to_each_once_within_its_budget(tmp_path: Path) -> None:
    async with model_server() as server:
        texts = await written_in_the_hour(tmp_path, server)

    assert sorted(texts) == sorted(f"written {number}" for number in range(1, MANY + 1))
    assert_budget_kept(server)


@pytest.mark.parametrize(("status", "seconds"), [(500, 0.0), (200, 5.0)], ids=["failing", "slow"])
async def test_while_the_model_fails_or_is_slow_templates_are_sent_and_its_budget_is_kept(
    tmp_path: Path, status: int, seconds: float
) -> None:
    async with model_server() as server:
        server.status, server.seconds = status, seconds
        texts = await written_in_the_hour(tmp_path, server, llm_timeout=1.0)

    assert sorted(texts) == sorted(HELLO.format(first_name=f"User{number}") for number in range(MANY))
    assert_budget_kept(server)


def assert_budget_kept(server: ModelServer) -> None:
    apart_s = [later - earlier for earlier, later in pairwise(server.began_s)]
    assert server.at_once_max <= 5
    assert len(server.began_s) >= 5
    assert sum(apart_s) / len(apart_s) >= 0.19  # 200 ms apart, on average: each is on its way for some moment


async def test_a_kill_at_any_moment_costs_no_user_its_message_and_sends_none_twice(tmp_path: Path) -> None:
    async with model_server() as server, running_simulator() as telegram:
        server.seconds = 0.1
        await telegram.add_bots(TOKEN)
        others = {"LLM_API_URL": server.url, "LLM_MODEL": "small"}
        async with program(tmp_path, telegram.url, **others) as running:
            chats = await quiet_for_a_week(running, telegram)
            for asked in (8, 20):
                await running.start()
                await running.until(lambda asked=asked: was_asked(server, asked), within_s=60)
                await running.kill()
                running.lose_runs()
            await running.start()
            await running.until(lambda: all_noted(running, len(chats)), within_s=90)
            await running.until(running.is_empty, within_s=30)
        sent = [call for call in await telegram.calls() if "written" in str(call.get("params", call))]

    in_ledger = rows(running, "SELECT chat_id, COUNT(*) FROM messages WHERE tag = 'reengagement' GROUP BY chat_id")
    assert in_ledger == [(chat, 1) for chat in sorted(chats)]
    assert MANY - 10 <= len(sent) <= MANY  # at_most_once: what was under way at a kill is not sent again


async def quiet_for_a_week(running: Program, telegram: RunningSimulator) -> list[str]:
    """Let users write, end the program, and let its database say that this was a week ago."""
    users = [await telegram.add_user(f"User{number}") for number in range(MANY)]
    for user in users:
        await telegram.say(user, "hi", bot=42)

    async def all_answered() -> bool:
        return len(rows(running, "SELECT 1 FROM messages WHERE status = 'sent'")) == MANY

    await running.until(all_answered, within_s=60)
    status, _ = await running.call("PATCH", "/bots/42", json={"behaviours": {"reengagement": at_this_hour()}})
    assert status == 200
    await running.end()
    with closing(sqlite3.connect(database_of(running))) as database, database:
        week_ms = 7 * DAY_MS
        database.execute(
            "UPDATE chats SET last_message_in_at_ms = last_message_in_at_ms - ?, last_message_out_at_ms = NULL",
            (week_ms,),
        )
    return [str(user) for user in users]


def at_this_hour() -> dict[str, Any]:
    """Return settings by which the hour has just begun, in a zone where it is about noon."""
    offset = 12 - datetime.now(UTC).hour
    local = datetime.now(UTC) + timedelta(hours=offset, minutes=-5)
    return {"at": f"{local:%H:%M}", "zone": f"Etc/GMT{-offset:+d}"}


async def was_asked(server: ModelServer, times: int) -> bool:
    return len(server.began_s) >= times


async def all_noted(running: Program, count: int) -> bool:
    noted = "SELECT COUNT(*) FROM campaign_claims WHERE message_id IS NOT NULL"
    return (await asyncio.to_thread(rows, running, noted)) == [(count,)]


def rows(running: Program, query: str) -> list[Any]:
    with closing(sqlite3.connect(database_of(running), timeout=10)) as database:
        return database.execute(query).fetchall()


def database_of(running: Program) -> Path:
    return running.directory / "data" / "tempogram.db"
