"""The simulator as a process of its own, which ends with the one that started it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from tempogram.simulator import client, sync_client

STARTS_AND_WAITS = """
import asyncio
from tempogram.simulator.client import running_simulator

async def main():
    async with running_simulator() as telegram:
        print(telegram.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
WITHIN_S = 20


async def test_a_simulator_ends_with_a_killed_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTS_AND_WAITS, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert is_alive(pid)

    parent.kill()
    await parent.wait()

    until_s = time.monotonic() + WITHIN_S
    while is_alive(pid):
        assert time.monotonic() < until_s, "it goes on without its parent"
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]


async def test_calls_are_listed_to_the_last_however_few_an_answer_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CALLS_LIMIT", 3)
    monkeypatch.setattr(sync_client, "CALLS_LIMIT", 3)
    with sync_client.served_in_thread() as telegram:
        telegram.add_bot("42:token")
        async with aiohttp.ClientSession() as session:
            for _ in range(7):
                await session.get(f"{telegram.url}/bot42:token/getMe")
            calls = await client.RunningSimulator(telegram.url, 0, session).calls()

        assert [call["index"] for call in calls] == list(range(7))
        assert telegram.calls() == calls
