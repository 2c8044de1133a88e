"""``tempogram reengagement``, as a user types it, against a running program."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import Program, program
from tests.forked import type_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEMPLATE = "Hello {first_name}, [how] are you?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tempogram(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """Run a bot of which one user wrote three days ago at noon, and another one has opted out since."""
    directory = tmp_path_factory.mktemp("program")
    settings = {"after_days": 3, "zone": "UTC", "at": "00:00", "templates": [TEMPLATE]}
    wrote = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    lines = [
        {"chat_id": 7, "title": "Anna Smith", "last_message_in": wrote},
        {"chat_id": 8, "title": "Boris", "last_message_in": wrote, "opted_out": True},
    ]
    async with running_simulator() as telegram, program(directory, telegram.url) as running:
        # At this hour the task would send it, and then there would be nothing to show.
        settings["at"] = f"{(datetime.now(UTC).hour + 3) % 24:02}:00"
        await running.call("PATCH", "/bots/42", json={"behaviours": {"reengagement": settings}})
        status, answer = await running.call(
            "POST",
            "/bots/42/chats/import",
            data="\n".join(map(json.dumps, lines)).encode(),
            headers={"Content-Type": "application/jsonl"},
        )
        assert status == 200, answer
        yield running


async def reengagement(tempogram: Program, *words: str) -> tuple[int, str, str]:
    return await type_in(tempogram.directory, ["reengagement", *words, "--url", tempogram.url])


async def test_who_would_get_what_today_is_listed(tempogram: Program) -> None:
    status, table, _ = await reengagement(tempogram, "42")

    assert status == 0
    assert "1 chats would be written to; left out: 1 opted out" in table
    assert "Hello Anna, [how] are you?" in table


async def test_another_time_is_asked_for_and_json_is_printed(tempogram: Program) -> None:
    status, printed, _ = await reengagement(tempogram, "42", "--at", "2026-01-01T16:00:00Z", "--json")

    answer = json.loads(printed)
    assert status == 0
    assert (answer["at"], answer["selected"], answer["messages"]) == ("2026-01-01T16:00:00Z", 0, [])


async def test_a_bot_that_there_is_not_is_said_in_one_sentence(tempogram: Program) -> None:
    status, _, error = await reengagement(tempogram, "999")

    assert status != 0
    assert error.strip().endswith("there is no bot 999")
