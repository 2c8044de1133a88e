"""A server whose limit is half of what we think: how much of it is used, and how many 429s does it take?

Question    Telegram takes 15 messages of a bot a second where we think 30, and each 429 asks for 2 s of silence.
            How many of its 750 in 50 s arrive?
Workload    One bot, 1,500 private chats, a message each, priority normal, submitted at once over HTTP. No ceiling.
Measured    At the simulator, for 50 s from the first call.
Not measured  Whether Telegram's own limits are of this kind.
Checked     At least 85 % of the server's rate, at most 6 x 429.

    python -m bench.unknown_limit [--roles]
"""

from __future__ import annotations

import asyncio

from bench.harness import Checks, engine, main, token
from tempogram.simulator.client import accepted, running_simulator

CHATS = 1_500
LIMIT = 15
HOLD_S = 2
MEASURED_MS = 50_000
LEAST_USE = 0.85
THROTTLED_MOST = 6


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with (
        running_simulator(bot_limit=LIMIT, bot_penalty_s=HOLD_S, penalty_growth=1) as telegram,
        engine(telegram.url, [token(1)], broken=broken, TELEGRAM_GLOBAL_LIMIT="0") as tempogram,
    ):
        await tempogram.submit([{"bot": "1", "chat_id": chat, "text": f"hello {chat}"} for chat in range(1, CHATS + 1)])
        await asyncio.sleep(MEASURED_MS / 1_000 + 1)
        calls = [call for call in await telegram.calls() if call["method"] == "sendMessage"]
    measured = [call for call in calls if call["at_ms"] <= calls[0]["at_ms"] + MEASURED_MS]
    sent = len(accepted(measured))
    throttled = sum(call["code"] == 429 for call in measured)
    use = sent / (LIMIT * MEASURED_MS / 1_000)
    print(f"  {sent} sent in {MEASURED_MS / 1_000:.0f} s, {use:.1%} of the server's rate, {throttled} x 429")
    checks.that(use >= LEAST_USE, f"use of the server's rate {use:.1%} is at least {LEAST_USE:.0%}")
    checks.that(throttled <= THROTTLED_MOST, f"{throttled} x 429, at most {THROTTLED_MOST}")


if __name__ == "__main__":
    main("A server whose limit is half of ours: is it found, and used?", bench)
