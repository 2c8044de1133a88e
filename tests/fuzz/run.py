"""Many requests against the real program, on SQLite and a simulated Telegram."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN, Program, program
from tests.fuzz.exchange import trouble_with
from tests.fuzz.requests import Input, Target, request

AT_ONCE = 8
TROUBLES_MAX = 20
WARM_SHARE = 0.4
GROWTH_MB_MAX = 40
"""untuned: caches and the database's pages; a leak of 1 KB a request would be seen."""

TARGET = Target(TOKEN, ADMIN_TOKEN)
UNLIMITED = {f"TELEGRAM_{each}_LIMIT": "0" for each in ("GLOBAL", "BOT", "CHAT", "GROUP")}
"""So that what is accepted does not pile up in memory."""


@dataclass(slots=True)
class Outcome:
    """What was found."""

    requests: int = 0
    troubles: list[str] = field(default_factory=list)
    warm_mb: int = 0
    end_mb: int = 0


def input_of(seed: int, number: int, target: Target = TARGET) -> Input:
    """Return the request of this number; the same for ever."""
    return request(Random(f"{seed}/{number}"), target)


async def fuzz(*, seconds: float, seed: int, only: int | None, say: Callable[[str], None]) -> Outcome:
    """Make requests for so long, or the one of this number only."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running_simulator() as telegram,
            program(Path(folder), telegram.url, BOT_API_DOOR="true", LOG_LEVEL="ERROR", **UNLIMITED) as tempogram,
        ):
            if only is not None:
                await make(outcome, tempogram, seed, only)
            else:
                await _make_many(outcome, tempogram, seed=seed, seconds=seconds, say=say)
            await _judge_the_end(outcome, tempogram)
    return outcome


async def make(outcome: Outcome, tempogram: Program, seed: int, number: int) -> None:
    """Make one request, and note what is wrong with it."""
    given = input_of(seed, number)
    outcome.requests += 1
    if (trouble := await trouble_with(given, tempogram.port)) is not None:
        shown = given.raw if len(given.raw) <= 600 else given.raw[:400] + b" ... " + given.raw[-200:]
        outcome.troubles.append(f"{trouble}: --seed {seed} --only {number}: {shown!r}")


async def _make_many(
    outcome: Outcome, tempogram: Program, *, seed: int, seconds: float, say: Callable[[str], None]
) -> None:
    began_s = time.monotonic()

    async def go_on(first: int) -> None:
        number = first
        while time.monotonic() < began_s + seconds and len(outcome.troubles) < TROUBLES_MAX:
            await make(outcome, tempogram, seed, number)
            number += AT_ONCE

    async def note_warm() -> None:
        await asyncio.sleep(WARM_SHARE * seconds)
        outcome.warm_mb = memory_mb(tempogram)
        say(f"  {outcome.requests} requests, {outcome.warm_mb} MB")

    warming = asyncio.create_task(note_warm())
    await asyncio.gather(*(go_on(first) for first in range(AT_ONCE)))
    warming.cancel()
    outcome.end_mb = memory_mb(tempogram)


async def _judge_the_end(outcome: Outcome, tempogram: Program) -> None:
    if tempogram.process.returncode is not None:
        outcome.troubles.append(f"the program ended, with status {tempogram.process.returncode}")
        return
    status, answer = await tempogram.call("POST", "/messages", json={"bot": "42", "chat_id": 5, "text": "a right one"})
    if status != 202:
        outcome.troubles.append(f"a right request got {status} at the end: {answer}")
    lines = tempogram.output.read_text(errors="replace").splitlines()
    outcome.troubles += [f"logged: {line[-1_500:]}" for line in lines if "Traceback" in line or "unhandled" in line][:5]
    if outcome.warm_mb and outcome.end_mb - outcome.warm_mb > GROWTH_MB_MAX:
        outcome.troubles.append(f"memory grew from {outcome.warm_mb} to {outcome.end_mb} MB")


def memory_mb(tempogram: Program) -> int:
    status = Path(f"/proc/{tempogram.process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmRSS"))
