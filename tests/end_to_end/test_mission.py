"""The mission's manual test, verbatim: curl, 100 times, 10 ms apart."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import TOKEN, Program, program

GROUP = -123


@pytest.mark.skipif(shutil.which("curl") is None, reason="NO curl on this machine: the mission's own test is not run")
async def test_a_hundred_updates_of_one_group_are_answered_no_faster_than_allowed(
    tmp_path: Path,
) -> None:
    async with running_simulator() as telegram, program(tmp_path, telegram.url) as tempogram:
        for number in range(1, 101):
            assert await curl(tempogram, number) == b"200"
            await asyncio.sleep(0.01)
        await tempogram.until(lambda: waiting(tempogram, 80), within_s=30)
        stats = await tempogram.stats()
        _, metrics = await tempogram.call("GET", "/metrics", headers={"Accept": "application/json"})
        report = await telegram.report()

    assert stats == {
        "stats": {"high": 0, "normal": 80, "low": 0, "retry": 0, "dlq": 0},
        "total_queued": 80,
        "total_failed": 0,
    }
    assert metrics["telegram_rate_limited_drops"] == 0
    assert metrics["telegram_429_count"] == 0
    assert report.accepted == 20
    assert report.broke_no_window
    assert report.out_of_order == 0


async def curl(tempogram: Program, number: int) -> bytes:
    """Make the mission's own call, with our port, our token and a number of its own."""
    body = (
        f'{{"update_id": {number}, "message": {{"message_id": {number}, "chat": {{"id": {GROUP}}}, '
        f'"from": {{"id": 456}}, "text": "Test {number}"}}}}'
    )
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"),
        *("-X", "POST", f"http://localhost:{tempogram.port}/webhook/telegram/{TOKEN}"),
        *("-H", "Content-Type: application/json", "-d", body),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return output


async def waiting(tempogram: Program, messages: int) -> bool:
    return bool((await tempogram.stats())["stats"]["normal"] == messages)
