"""The simulator as a process of its own, which ends with the one that started it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

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
