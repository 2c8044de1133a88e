"""Calls that hang or fail: do they cost another bot anything, or another chat?

Question    A bot's calls are never answered: does another bot notice? 25 chats answer 500: do the bot's others get
            their messages? Telegram is away for all: how often is it tried, and how soon is it found to be back?
Workload    hanging: 3 bots, 300 messages of the first to 300 chats hang; one high message of the second every 2 s.
            chats: 25 chats of a bot answer 500; 5 s later 20 messages a second to others of its chats, for 70 s.
            away: 30 messages of each of 3 bots, all reset before they are read, or never answered; 30 s later the
            host is back.
Measured    At the simulator: from the submission over HTTP to the arrival, and when calls arrive.
Checked     hanging: at most 0.1 s at p99. chats: at least 95 % delivered within the 70 s. away: from the tenth
            second on at most 31 calls in 30 s; when it is back, the first message within 2 s, and all within 35 s.

    python -m bench.failing_bots [hanging|chats|reset|away]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from bench.harness import Checks, Engine, engine, main, quantile, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator
from tempogram.simulator.limits.faults import Fault, Kind

HANGING, URGENT, URGENT_EVERY_S = 300, 30, 2.0
FAILING_CHATS, HEALTHY_EVERY_S, HEALTHY_S = 25, 0.05, 70
AWAY_EACH, AWAY_S, SETTLED_AFTER_S = 30, 30, 10


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    chosen = [name for name in PARTS if name in sys.argv[1:]] or list(PARTS)
    for name in chosen:
        async with (
            running_simulator() as telegram,
            engine(telegram.url, [token(1), token(2), token(3)], broken=broken) as tempogram,
        ):
            await PARTS[name](checks, telegram, tempogram)


async def hanging(checks: Checks, telegram: RunningSimulator, tempogram: Engine) -> None:
    await telegram.order(Fault(kind="hang", bot_id=1))
    await tempogram.submit([message(1, chat, f"hangs {chat}") for chat in range(1, HANGING + 1)])
    submitted_ms: dict[str, float] = {}
    for number in range(URGENT):
        await submit_timed(tempogram, message(2, 1_000 + number, f"urgent {number}", "high"), submitted_ms)
        await asyncio.sleep(URGENT_EVERY_S)
    delays = await delays_s(telegram, submitted_ms)
    p50, p99, longest = quantile(delays, 0.5), quantile(delays, 0.99), max(delays)
    print(f"  {len(delays)} urgent ones after {p50:.3f} s at the median, {p99:.3f} s at p99, {longest:.3f} s at most")
    checks.that(len(delays) == URGENT, f"{len(delays)} of {URGENT} delivered")
    checks.that(p99 <= 0.1, f"{p99:.3f} s at p99 is at most 0.1 s")


async def chats(checks: Checks, telegram: RunningSimulator, tempogram: Engine) -> None:
    await telegram.order(*(Fault(kind="5xx", bot_id=1, chat_id=chat) for chat in range(1, FAILING_CHATS + 1)))
    await tempogram.submit([message(1, chat, f"fails {chat}") for chat in range(1, FAILING_CHATS + 1)])
    await asyncio.sleep(5)
    submitted_ms: dict[str, float] = {}
    until_s = time.monotonic() + HEALTHY_S
    while time.monotonic() < until_s:
        number = len(submitted_ms)
        await submit_timed(tempogram, message(1, 1_000 + number, f"healthy {number}"), submitted_ms)
        await asyncio.sleep(HEALTHY_EVERY_S)
    delays = await delays_s(telegram, submitted_ms)
    share = len(delays) / len(submitted_ms)
    print(f"  {len(delays)} of {len(submitted_ms)} delivered by then, after {quantile(delays or [0.0], 0.5):.3f} s")
    checks.that(share >= 0.95, f"{share:.1%} delivered, at least 95 %")


async def away(checks: Checks, telegram: RunningSimulator, tempogram: Engine, kind: Kind = "hang") -> None:
    await telegram.order(Fault(kind=kind))
    all_messages = [message(bot, chat, f"{bot} {chat}") for bot in (1, 2, 3) for chat in range(1, AWAY_EACH + 1)]
    await tempogram.submit(all_messages)
    settled_s = SETTLED_AFTER_S + (20 if kind == "hang" else 0)  # until the first calls are given up
    await asyncio.sleep(settled_s)
    from_ms = time.time() * 1_000
    await asyncio.sleep(AWAY_S)
    tried = sum(from_ms <= call["wall_ms"] < from_ms + AWAY_S * 1_000 for call in await telegram.calls())
    await telegram.end_faults()
    back_ms = time.time() * 1_000
    is_drained = await tempogram.drained(within_s=60)
    arrivals = [call["wall_ms"] for call in accepted(await telegram.calls())]
    first_s = (min(arrivals, default=back_ms + 1e6) - back_ms) / 1_000
    last_s = (max(arrivals, default=back_ms + 1e6) - back_ms) / 1_000
    print(
        f"  {kind}: {tried} calls in {AWAY_S} s; back: the first after {first_s:.2f} s, the last after {last_s:.2f} s"
    )
    checks.that(tried <= AWAY_S + 1, f"{tried} calls in {AWAY_S} s are at most one a second")
    checks.that(first_s <= 2, f"the first message {first_s:.2f} s after it was back")
    checks.that(is_drained and last_s <= 35, f"the last message {last_s:.2f} s after it was back")


async def reset(checks: Checks, telegram: RunningSimulator, tempogram: Engine) -> None:
    await away(checks, telegram, tempogram, "reset_before")


Part = Callable[[Checks, RunningSimulator, Engine], Coroutine[Any, Any, None]]
PARTS: dict[str, Part] = {"hanging": hanging, "chats": chats, "reset": reset, "away": away}


async def submit_timed(tempogram: Engine, each: dict[str, Any], submitted_ms: dict[str, float]) -> None:
    submitted_ms[each["text"]] = time.time() * 1_000
    await tempogram.submit([each])


async def delays_s(telegram: RunningSimulator, submitted_ms: dict[str, float]) -> list[float]:
    """Return how long each message took that was delivered."""
    calls = accepted(await telegram.calls())
    return [(call["wall_ms"] - submitted_ms[call["text"]]) / 1_000 for call in calls if call["text"] in submitted_ms]


def message(bot: int, chat: int, text: str, priority: str = "normal") -> dict[str, Any]:
    return {"bot": str(bot), "chat_id": chat, "text": text, "priority": priority}


if __name__ == "__main__":
    main("Calls that hang or fail: do they cost other bots or chats anything?", bench)
