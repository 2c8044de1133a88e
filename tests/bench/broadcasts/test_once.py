"""The same as ``python -m bench.broadcasts.once``, with some hundred chats."""

from __future__ import annotations

from bench.broadcasts import once
from bench.broadcasts.casting import casting
from bench.harness import Checks

CHATS = 600


async def test_a_broadcast_that_is_paused_and_killed_reaches_each_chat_once() -> None:
    checks = Checks()
    async with casting(chats=CHATS, bot_limit=100) as of:
        broadcast_id = await of.started()
        await once.pause(checks, of, broadcast_id, CHATS // 4, within_s=60)
        await of.until_arrived(CHATS // 2, within_s=60)
        await once.kill(of)
        await of.until_done(broadcast_id, within_s=60)
        await once.judge(checks, of, broadcast_id, CHATS)
    assert checks.failed == []
