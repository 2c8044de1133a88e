"""50 bots, 60 private chats each: how fast do many bots send, and what does a message cost?

Question    Do 3,000 messages of 50 bots leave in the two seconds that 30 a second for each bot allow? Does a message
            cost more CPU with limits, a ledger and a queue than with nothing but aiogram?
Workload    One message to each of 50 x 60 private chats, submitted at once over HTTP, no ceiling over all bots. Beside
            it, in turns: 50 loops of a bare ``await bot.send_message(…)`` to a simulator that limits nothing.
Measured    At the simulator: the last arrival after the submission began. CPU seconds, user and system, from the
            operating system: of the whole engine (HTTP, ledger, dispatch, sending, settling, polling for 50 bots, and
            being asked for its stats), and of the bare loops from the first call to the last answer; those as
            aiogram's documentation starts them, and with uvloop, which the engine has.
Not measured  Starting up, and the same number of messages to warm up (statements are compiled at their first use).
            The way to the real Telegram.
Checked     No 429, no window broken, nothing lost; at most 3.5 s; at most the CPU of the bare loops as documented
            (medians). As roles: at most 5 s; the CPU of each process is printed.
            Ideal: 1 s and what the first message takes, as 30 may go at once and 30 a second later.

    python -m bench.fleet [--rounds 5] [--roles]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

from bench.harness import Checks, engine, has_roles, main, spread, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator

BOTS, CHATS = 50, 60
MESSAGES = BOTS * CHATS
AT_MOST_S = 3.5
AT_MOST_AS_ROLES_S = 5.0
REST_S = 2.5  # until every window is free again, the chats' burst included
NEVER_LIMITS = {"private_limit": 0, "bot_limit": 0, "group_limit": 0}


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    took_s: list[float] = []
    ours_us: list[float] = []
    bare_us: list[float] = []
    bare_uvloop_us: list[float] = []
    async with running_simulator() as telegram, running_simulator(**NEVER_LIMITS) as limitless:
        for _ in range(rounds()):
            seconds, cpu_us = await ours(checks, telegram, broken=broken)
            took_s.append(seconds)
            ours_us.append(cpu_us)
            bare_us.append(await bare(limitless))
            bare_uvloop_us.append(await bare(limitless, "uvloop"))
    print(f"  last message after {spread(took_s, 's', digits=2)}")
    print(f"  CPU a message, whole engine: {spread(ours_us, 'us', digits=0)}")
    print(f"  CPU a message, bare aiogram: {spread(bare_us, 'us', digits=0)}")
    print(f"  the same with uvloop: {spread(bare_uvloop_us, 'us', digits=0)}")
    at_most_s = AT_MOST_AS_ROLES_S if has_roles() else AT_MOST_S
    checks.that(statistics.median(took_s) <= at_most_s, f"at most {at_most_s} s")
    share = statistics.median(ours_us) / statistics.median(bare_us)
    checks.that(share <= 1 or has_roles(), f"{share:.2f} of bare aiogram's CPU a message")


async def ours(checks: Checks, telegram: RunningSimulator, *, broken: bool) -> tuple[float, float]:
    """Return the seconds until the last arrival, and the microseconds of CPU a message."""
    tokens = [token(number) for number in range(1, BOTS + 1)]
    warming_up, messages = (
        [
            {"bot": str(bot), "chat_id": 1_000 * bot + chat, "text": f"{word} {chat}"}
            for bot in range(1, BOTS + 1)
            for chat in range(CHATS)
        ]
        for word in ("good morning", "hello")
    )
    async with engine(telegram.url, tokens, broken=broken, TELEGRAM_GLOBAL_LIMIT="0") as tempogram:
        await tempogram.submit(warming_up)
        checks.that(await tempogram.drained(within_s=60), "warmed up within 60 s")
        await asyncio.sleep(REST_S)
        await telegram.reset()
        before_s, started_ms = tempogram.cpu_s(), time.time() * 1_000
        await tempogram.submit(messages)
        checks.that(await tempogram.drained(within_s=60), "the queue is empty again within 60 s")
        used_s = {name: after_s - before_s[name] for name, after_s in tempogram.cpu_s().items()}
        calls, report = accepted(await telegram.calls()), await telegram.report()
    if has_roles():
        print(f"  CPU of {', '.join(f'{name}: {seconds:.2f} s' for name, seconds in used_s.items())}")
    checks.that(len(calls) == MESSAGES, f"{len(calls)} of {MESSAGES} delivered")
    checks.that(not report.by_code.get("429"), f"{report.by_code.get('429', 0)} x 429")
    checks.that(report.broke_no_window, f"no window broken: {report.violations}")
    return (calls[-1]["wall_ms"] - started_ms) / 1_000, sum(used_s.values()) / MESSAGES * 1e6


async def bare(telegram: RunningSimulator, *words: str) -> float:
    """Return the microseconds of CPU that a bare call costs."""
    await telegram.reset()
    plan = {
        "url": telegram.url,
        "tokens": {str(number): token(number) for number in range(1, BOTS + 1)},
        "messages": {
            str(number): [(1_000 * number + chat, f"hello {chat}") for chat in range(CHATS)]
            for number in range(1, BOTS + 1)
        },
    }
    script = Path(__file__).parent / "clients" / "bare_aiogram.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate(json.dumps(plan).encode() + b"\n")
    arrived = len(accepted(await telegram.calls()))
    assert arrived == 2 * MESSAGES, f"the bare loops delivered {arrived} of {2 * MESSAGES}"
    return float(json.loads(answer)["cpu_s"]) / MESSAGES * 1e6


def rounds() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    return int(parser.parse_known_args()[0].rounds)


if __name__ == "__main__":
    main("50 bots, 60 private chats each: how fast do many bots send, and what does a message cost?", bench)
