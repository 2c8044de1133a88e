"""``tempogram run`` twice over one Redis and one PostgreSQL: both serve, and each update is handled once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.servers import missing_programs
from tests.end_to_end.several import Several, end, several

TOKENS = ("1:token-of-bot-1", "2:token-of-bot-2")

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason="NO redis-server or PostgreSQL's programs")


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Several]:
    async with several(tmp_path, ("run", "run"), TOKENS) as running:
        yield running


async def test_an_update_delivered_to_two_processes_is_handled_once(pair: Several) -> None:
    first, second = pair.fleet.members
    for number in range(10):
        sent_update = await pair.tell(TOKENS[0], f"number {number}", chat_id=100 + number, to=first)
        await asyncio.gather(
            pair.deliver(TOKENS[0], sent_update, to=second), pair.deliver(TOKENS[0], sent_update, to=first)
        )
    together = await pair.until_sent("number ", 10)

    person = await pair.telegram.add_user("Ada")
    status = await end(first)
    await pair.tell(TOKENS[0], "number alone", chat_id=200, to=second)
    await pair.telegram.say(person, "number by poll", bot=2)
    alone = await pair.until_sent("number ", 12)

    assert Counter(text.split()[1] for text in together) == Counter(map(str, range(10)))
    assert status == 0
    assert len(alone) == 12
    assert await pair.broke_nothing()
    for member in pair.fleet.members:
        assert not [event for event in pair.said(member) if "exception" in event]
