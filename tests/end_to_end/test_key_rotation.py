"""``SECRET_KEY`` is changed by restarts and one command, while messages go out: none is lost, none is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.key_rotation.run import Plan, rotated_under_load
from tempogram.simulator.client import running_simulator
from tempogram.storage.key_rotation import CHUNK
from tests.end_to_end.program import Program, program
from tests.end_to_end.test_killed import database_settings, postgres_url  # noqa: F401 - fixtures
from tests.engine.redis_server import own_redis
from tests.forked import type_in

FORMER, PRESENT = "the key that was used before", "the key that is used from now on"


async def sent(tempogram: Program, chats: range) -> None:
    batch = [{"bot": "42", "chat_id": chat, "text": f"hello {chat}"} for chat in chats]
    status, answers = await tempogram.call("POST", "/messages/batch", json=batch)
    assert status == 202, answers


async def restarted(tempogram: Program, **environment: str) -> None:
    await tempogram.kill()
    tempogram.set(**environment)
    await tempogram.start()


async def test_a_key_is_changed_while_messages_go_out_over_kills(
    tmp_path: Path,
    database_settings: dict[str, str],  # noqa: F811
) -> None:
    async with (
        running_simulator(total_limit=30) as telegram,
        program(tmp_path, telegram.url, SECRET_KEY=FORMER, **database_settings) as tempogram,
    ):
        await sent(tempogram, range(1, 61))
        await restarted(tempogram, SECRET_KEY=PRESENT, FORMER_SECRET_KEY=FORMER, BOT_TOKENS="")
        await sent(tempogram, range(61, 91))
        before = (await tempogram.call("GET", "/keys"))[1]
        rotating = asyncio.create_task(tempogram.call("POST", "/keys/rotate"))
        await asyncio.sleep(0)
        await tempogram.kill()
        await asyncio.wait([rotating])
        await tempogram.start()
        words = ["keys", "rotate", "--running", "--url", tempogram.url]
        status, said, _ = await type_in(tempogram.directory, words)
        await restarted(tempogram, FORMER_SECRET_KEY="")
        await sent(tempogram, range(91, 101))
        await tempogram.until(tempogram.is_empty, within_s=30)
        report = await telegram.report()
        calls = await telegram.calls()

    assert (before["has_former_key"], before["present"], before["former"]) == (True, 0, 1)
    assert status == 0
    assert said.startswith("Bots under the present SECRET_KEY: 1. FORMER_SECRET_KEY is not needed any more")
    arrived = {call["text"] for call in calls if call["code"] == 200 and call["cost"]}
    assert arrived == {f"hello {chat}" for chat in range(1, 101)}
    assert [call["code"] for call in calls if call["code"] in {401, 404}] == []
    assert report.broke_no_window


@pytest.mark.postgres
async def test_a_change_killed_between_chunks_under_load_loses_nothing_and_sends_nothing_with_a_wrong_token(
    tmp_path: Path,
    redis_url: str,
    postgres_url: str,  # noqa: F811
) -> None:
    """``python -m bench.key_rotation`` does this with more bots and processes, and with restarts."""
    plan = Plan(
        bots=2 * CHUNK,
        seed=1,
        roles=("api", "worker"),
        submissions_a_second=12,
        deliveries_a_second=5,
        pause_s=0.5,
        is_whole=False,
    )

    outcome = await rotated_under_load(plan, tmp_path, redis_url=redis_url, postgres_url=postgres_url)

    assert (outcome.halfway["present"], outcome.halfway["former"], outcome.halfway["is_changing"]) == (50, 50, True)
    assert (outcome.after["present"], outcome.after["former"], outcome.after["is_changing"]) == (100, 0, False)
    assert outcome.expected > 0
    assert outcome.sent_halfway > 0
    assert (outcome.lost, outcome.wrong_token, outcome.wrong_bot) == (0, 0, 0)
    assert (outcome.broken_windows, list(outcome.refused)) == ({}, [])


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    (folder := tmp_path / "redis").mkdir()
    with own_redis(folder) as url:
        yield url
