"""Mass work of one bot: what does it cost the others, and does memory return?

Question    300,000 messages of a bot expire at once, then 300,000 are cancelled with their bot: how long do urgent
            messages of another bot wait meanwhile, how fast is it, and what is left in memory afterwards?
Workload    Two bots. 300,000 messages to as many private chats for the first, which expire at the same moment; then
            as many once more, and ``DELETE /bots`` of it. Meanwhile an urgent message for the second bot every 100 ms,
            each to its own chat, one at a time.
Measured    From the moment before the HTTP request that submits an urgent message to its arrival at the simulator,
            less what such a message takes on an idle engine; from the DELETE to the end of the last message; resident
            memory (of the first process of the engine) with all of it waiting, and afterwards.
Checked     The median urgent message waits at most a slot (1/30 s), one in a hundred at most 0.1 s more; nothing
            expired is sent; the answer of DELETE counts what was cancelled by then; cancelling is at least half as fast
            as submitting over HTTP. Aimed at: 10,000 a second; 700 bytes a waiting message, and all of it returns.

    python -m bench.mass_work [--roles] [--count=N]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.harness import BATCH, Checks, Engine, engine, main, quantile, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator

COUNT = next((int(each.partition("=")[2]) for each in sys.argv if each.startswith("--count=")), 300_000)
MASS, URGENT = 1, 2
SLOT_MS, SLACK_MS = 1_000 / 30, 100
TEXT = "x" * 250
EVERY_S, WITHIN_S = 0.1, 300.0


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    async with (
        running_simulator(total_limit=30) as telegram,
        engine(telegram.url, [token(MASS), token(URGENT)], QUEUE_BOT_CAP="0", QUEUE_CHAT_CAP="0") as tempogram,
    ):
        urgent = Urgent(telegram, tempogram)
        idle_ms = statistics.median(await urgent.during(lambda: asyncio.sleep(3)))
        resident = resident_bytes(tempogram)
        await expire(checks, tempogram, urgent, idle_ms)
        waiting = await remove(checks, tempogram, urgent, idle_ms)
        await memory(tempogram, resident, waiting)


async def expire(checks: Checks, tempogram: Engine, urgent: Urgent, idle_ms: float) -> None:
    until_s = time.time() + COUNT / 3_500 + 5
    await submit(tempogram, until_s=until_s)
    early_s = until_s - time.time()
    await asyncio.sleep(early_s - 1)
    start_s = time.monotonic()
    waits_ms = await urgent.during(lambda: tempogram.drained(within_s=WITHIN_S))
    took_s = time.monotonic() - start_s - 1
    left = await tempogram.stats()
    late = [at_s for at_s in await urgent.sent_of_mass() if at_s > until_s + 0.5]  # a call on its way then may be late
    print(f"  {COUNT:,} expired and were recorded in {took_s:.1f} s")
    judge(checks, "while they expired", waits_ms, idle_ms)
    checks.that(not late, f"nothing that had expired was sent ({len(late)})")
    checks.that(left["total_queued"] == 0, f"all were recorded, {left['total_queued']:,} are left")


async def remove(checks: Checks, tempogram: Engine, urgent: Urgent, idle_ms: float) -> int:
    await tempogram.call("PATCH", f"/bots/{MASS}", {"paused": True})
    submitted_s = await submit(tempogram)
    resident = resident_bytes(tempogram)
    answer: dict[str, Any] = {}
    start_s = time.monotonic()

    async def removed() -> None:
        answer.update(await tempogram.call("DELETE", f"/bots/{MASS}"))
        answer["after_s"] = time.monotonic() - start_s
        answer["left"] = (await tempogram.stats())["total_queued"]
        await tempogram.drained(within_s=WITHIN_S)

    waits_ms = await urgent.during(removed)
    took_s = time.monotonic() - start_s
    print(f"  DELETE answered after {answer['after_s']:.1f} s: cancelled {answer['cancelled']:,}", end="")
    print(f"; all were cancelled after {took_s:.1f} s, {COUNT / took_s:,.0f}/s")
    judge(checks, "while they were cancelled", waits_ms, idle_ms)
    uncounted = COUNT - answer["cancelled"] - answer["left"]  # ended between the answer and the look at the queue
    checks.that(abs(uncounted) <= max(COUNT / 100, 1_000), f"{uncounted:,} were cancelled and not counted")
    checks.that(took_s <= 2 * submitted_s, f"cancelling took {took_s:.1f} s, submitting over HTTP {submitted_s:.1f}")
    return resident


async def memory(tempogram: Engine, idle: int, waiting: int) -> None:
    await asyncio.sleep(10)
    left = resident_bytes(tempogram)
    print(
        f"  resident: {idle >> 20} MB idle, {waiting >> 20} MB with {COUNT:,} waiting, {left >> 20} MB afterwards",
        end="",
    )
    print(f"; {(waiting - idle) / COUNT:.0f} bytes a waiting message with a text of {len(TEXT)}")


class Urgent:
    """Sends urgent messages of the second bot, one after another."""

    def __init__(self, telegram: RunningSimulator, tempogram: Engine) -> None:
        self._telegram = telegram
        self._tempogram = tempogram
        self._made = 0

    async def during(self, work: Callable[[], Awaitable[object]]) -> list[float]:
        """Return how long each waited, ms, that was submitted while the work was done."""
        working = asyncio.ensure_future(work())
        submitted_ms: dict[str, float] = {}
        while not working.done():
            self._made += 1
            text = f"urgent {self._made}"
            submitted_ms[text] = time.time() * 1_000
            message = {"bot": str(URGENT), "chat_id": self._made, "text": text, "priority": "high"}
            await self._tempogram.submit([message])
            await asyncio.sleep(EVERY_S)
        await working
        await asyncio.sleep(1)
        arrived_ms = {call["text"]: call["wall_ms"] for call in accepted(await self._telegram.calls())}
        return [arrived_ms.get(text, float("inf")) - at_ms for text, at_ms in submitted_ms.items()]

    async def sent_of_mass(self) -> list[float]:
        """Return when each message of the first bot arrived, in seconds."""
        return [call["wall_ms"] / 1_000 for call in accepted(await self._telegram.calls()) if call["text"] == TEXT]


async def submit(tempogram: Engine, *, until_s: float | None = None) -> float:
    """Submit the mass, of which all expires at one moment, and return how many seconds that took."""
    start_s = time.monotonic()
    for start in range(1, COUNT + 1, BATCH):
        expiry = {} if until_s is None else {"expires_in_s": until_s - time.time()}
        chats = range(start, min(start + BATCH, COUNT + 1))
        await tempogram.submit([{"bot": str(MASS), "chat_id": chat, "text": TEXT, **expiry} for chat in chats])
    return time.monotonic() - start_s


def judge(checks: Checks, when: str, waits_ms: list[float], idle_ms: float) -> None:
    middle, p99 = statistics.median(waits_ms), quantile(waits_ms, 0.99)
    print(f"  {len(waits_ms)} urgent messages {when}: median {middle:.0f} ms, p99 {p99:.0f} ms", end="")
    print(f", longest {max(waits_ms):.0f} ms (idle {idle_ms:.0f} ms)")
    checks.that(middle <= idle_ms + SLOT_MS, f"the median waits at most a slot longer {when}")
    checks.that(p99 <= idle_ms + SLOT_MS + SLACK_MS, f"p99 is at most {SLACK_MS} ms more {when}")


def resident_bytes(tempogram: Engine) -> int:
    """Return the memory of the engine's first process that is in use (Linux)."""
    assert tempogram.process is not None
    pages = int(Path(f"/proc/{tempogram.process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main("Mass work of one bot: what does it cost the others, and does memory return?", bench)
