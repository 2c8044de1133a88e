"""Half of the bots hang: do the others notice?

Question    Telegram never answers the calls of 4 of 8 bots. How long do the urgent messages of the other 4 wait, and
            how much of the ceiling is left to those?
Workload    300 normal messages of each bot that hangs, submitted at once. Then for 30 s, longer than the time-out of
            20 s, each of the others gets a message of priority high every second to a chat of its own. With
            the default ceiling the others have 300 normal messages each waiting, too.
Measured    From the moment before the HTTP request that submits a message to its arrival at the simulator; and the
            arrivals of the others a second, from 2 s after the start on.
Checked     All urgent messages arrive. Without a ceiling: the slowest hundredth within 0.1 s + the way through
            an idle engine. With it: the others get their share, half of 30 a second.

    python -m bench.hanging_bots [--roles]
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from typing import Any

from bench.harness import Checks, Engine, engine, main, quantile, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator
from tempogram.simulator.limits.faults import Fault

HANGING, OTHERS = (1, 2, 3, 4), (5, 6, 7, 8)
BACKLOG, FOR_S, EVERY_S = 300, 30, 1.0
FROM_S = 2.0
AT_MOST_MS = 100
SHARE_A_SECOND = 15


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    await with_ceiling(checks, "0", broken=broken)
    await with_ceiling(checks, "30", broken=broken)


async def with_ceiling(checks: Checks, ceiling: str, *, broken: bool) -> None:
    print(f"  with TELEGRAM_GLOBAL_LIMIT={ceiling}")
    has_ceiling = ceiling != "0"
    tokens = [token(bot) for bot in (*HANGING, *OTHERS)]
    async with (
        running_simulator() as telegram,
        engine(telegram.url, tokens, broken=broken, TELEGRAM_GLOBAL_LIMIT=ceiling) as tempogram,
    ):
        idle_ms = await idle_latency_ms(telegram, tempogram)
        await telegram.order(*(Fault(kind="hang", bot_id=bot) for bot in HANGING))
        begun_ms = time.time() * 1_000
        await tempogram.submit([message for bot in HANGING for message in bulk(bot)])
        if has_ceiling:
            await tempogram.submit([message for bot in OTHERS for message in bulk(bot)])
        submitted_ms = await urgent_messages(tempogram)
        calls = accepted(await telegram.calls())
    arrived_ms = {call["text"]: call["wall_ms"] for call in calls}
    waits_ms = [arrived_ms.get(text, math.inf) - at_ms for text, at_ms in submitted_ms.items()]
    slowest_ms = quantile(waits_ms, 0.99)
    print(
        f"  {len(waits_ms)} urgent messages after {statistics.median(waits_ms):.0f} ms (median), {slowest_ms:.0f} ms"
        f" (p99), {max(waits_ms):.0f} ms (the slowest); idle {idle_ms:.0f} ms"
    )
    checks.that(max(waits_ms) < math.inf, "all urgent messages arrived")
    if not has_ceiling:
        most_ms = AT_MOST_MS + idle_ms
        checks.that(slowest_ms <= most_ms, f"99 % of them within {slowest_ms:.0f} ms, at most {most_ms:.0f}")
        return
    others = [call for call in calls if call["bot_id"] in OTHERS and call["wall_ms"] >= begun_ms + FROM_S * 1_000]
    a_second = len(others) / ((max(submitted_ms.values()) - begun_ms) / 1_000 - FROM_S)
    checks.that(a_second >= SHARE_A_SECOND, f"the others get {a_second:.1f} a second, at least {SHARE_A_SECOND}")


async def idle_latency_ms(telegram: RunningSimulator, tempogram: Engine) -> float:
    """Send single messages to an idle engine; the way in over HTTP, the ledger and the way out are in it."""
    submitted_ms = {}
    for bot in (*HANGING, *OTHERS):
        text = f"idle {bot}"
        submitted_ms[text] = time.time() * 1_000
        await tempogram.submit([urgent(bot, 9_000, text)])
        await asyncio.sleep(0.3)
    arrived_ms = {call["text"]: call["wall_ms"] for call in accepted(await telegram.calls())}
    took_ms: list[float] = [arrived_ms[text] - at_ms for text, at_ms in submitted_ms.items()]
    return statistics.median(took_ms)


async def urgent_messages(tempogram: Engine) -> dict[str, float]:
    """Submit one after another, evenly; return when each was, by its text."""
    submitted_ms: dict[str, float] = {}
    start, count = time.monotonic(), int(FOR_S / EVERY_S) * len(OTHERS)
    for number in range(count):
        await asyncio.sleep(max(0.0, start + number * EVERY_S / len(OTHERS) - time.monotonic()))
        text = f"urgent {number}"
        submitted_ms[text] = time.time() * 1_000
        await tempogram.submit([urgent(OTHERS[number % len(OTHERS)], 10_000 + number, text)])
    await asyncio.sleep(2)
    return submitted_ms


def bulk(bot: int) -> list[dict[str, Any]]:
    return [{"bot": str(bot), "chat_id": chat, "text": f"bulk {chat}"} for chat in range(1, BACKLOG + 1)]


def urgent(bot: int, chat: int, text: str) -> dict[str, Any]:
    return {"bot": str(bot), "chat_id": chat, "text": text, "priority": "high"}


if __name__ == "__main__":
    main("Half of the bots hang: do the others notice?", bench)
