"""Urgent messages behind a bulk: how long do they wait?

Question    With 600 low messages queued, how long do 10 urgent ones wait that come in the middle?
Workload    One bot, 600 private chats, priority low; 10 messages of priority high to 10 other chats, submitted
            at 3.0, 3.2, 3.4, 3.6 or 3.8 s after the start: five runs.
Measured    From the moment before the HTTP request that submits the ten to the arrival of each at the simulator.
Checked     The k-th within k + 1 slots (1/30 s each) + latency + 50 ms, where latency is what such a message
            takes on an idle engine; the slowest within 0.5 s; no 429, no window broken. Ideal: k slots.

    python -m bench.urgent [--broken] [--roles]
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time

from bench.harness import Checks, Engine, engine, main, spread, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator

LOW, URGENT = 600, 10
AT_S = (3.0, 3.2, 3.4, 3.6, 3.8)
SLOT_MS, SLACK_MS, SLOWEST_MS = 1_000 / 30, 50, 500


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    slowest = []
    for at_s in AT_S:
        async with (
            running_simulator(total_limit=30) as telegram,
            engine(telegram.url, [token(1)], broken=broken) as tempogram,
        ):
            latency_ms = await idle_latency_ms(telegram, tempogram)
            waits_ms = await waits(telegram, tempogram, at_s)
            report = await telegram.report()
        slowest.append(waits_ms[-1] / 1_000)
        late = [
            f"{number}. after {wait_ms:.0f} ms"
            for number, wait_ms in enumerate(waits_ms, start=1)
            if wait_ms > (number + 1) * SLOT_MS + latency_ms + SLACK_MS
        ]
        print(f"  at {at_s} s: {', '.join(f'{wait_ms:.0f}' for wait_ms in waits_ms)} ms (idle {latency_ms:.0f} ms)")
        checks.that(not late, f"the k-th within k + 1 slots + latency + 50 ms: {late or 'all'}")
        checks.that(waits_ms[-1] <= SLOWEST_MS, f"the slowest after {waits_ms[-1]:.0f} ms, at most {SLOWEST_MS}")
        checks.that(report.broke_no_window, f"no window broken: {report.violations}")
    print(f"  slowest urgent message: {spread(slowest, 's', digits=2)} (ideal 0.33)")


async def idle_latency_ms(telegram: RunningSimulator, tempogram: Engine) -> float:
    """Send single messages to an idle engine; the way in over HTTP, the ledger and the way out are in it."""
    took: list[float] = []
    for chat in range(9_000, 9_005):
        before_ms = time.time() * 1_000
        await tempogram.submit([{"bot": "1", "chat_id": chat, "text": "idle", "priority": "high"}])
        await tempogram.drained(within_s=5)
        took.append((await telegram.calls())[-1]["wall_ms"] - before_ms)
    await asyncio.sleep(1.1)
    return statistics.median(took)


async def waits(telegram: RunningSimulator, tempogram: Engine, at_s: float) -> list[float]:
    """Return how long each urgent message waited, ms, the first to arrive first; inf: it is not there after 1.5 s."""
    seen = len(await telegram.calls())
    start = time.monotonic()
    await tempogram.submit(
        [{"bot": "1", "chat_id": chat, "text": f"low {chat}", "priority": "low"} for chat in range(1, LOW + 1)]
    )
    await asyncio.sleep(max(0.0, start + at_s - time.monotonic()))
    before_ms = time.time() * 1_000
    await tempogram.submit(
        [{"bot": "1", "chat_id": 10_000 + chat, "text": f"urgent {chat}", "priority": "high"} for chat in range(URGENT)]
    )
    await asyncio.sleep(1.5)
    calls = accepted(await telegram.calls(since=seen))
    waited_ms = sorted(call["wall_ms"] - before_ms for call in calls if call["text"].startswith("urgent"))
    return waited_ms + [math.inf] * (URGENT - len(waited_ms))


if __name__ == "__main__":
    main("Urgent messages behind a bulk: how long do they wait?", bench)
