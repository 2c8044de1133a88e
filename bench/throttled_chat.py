"""A 429 on one chat: does it get nothing for that time, and do the others notice?

Question    Telegram asks for 5 s of silence in one chat. Are the others as quick as before? And do the messages
            of a chat arrive in order when the first gets a 500, then a lost connection, then a 429?
Workload    A chat is throttled by its first message; 3 more wait for it. Meanwhile 100 other chats get a message
            each, 20 a second. Another bot sends three numbered messages to one chat that meets all three faults.
Measured    At the simulator: from the submission over HTTP to the arrival.
Checked     The throttled chat: nothing for 5 s, then all, in order. The others: mean delay under 0.1 s.
            The three: 1, 2, 3, each once.

    python -m bench.throttled_chat [--roles]
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from bench.harness import Checks, Engine, engine, main, token
from tempogram.simulator.client import RunningSimulator, accepted, running_simulator
from tempogram.simulator.limits.faults import Fault

THROTTLED, CHATS, EVERY_S = 5_000, 100, 0.05
HOLD_MS = 5_000


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with (
        running_simulator() as telegram,
        engine(telegram.url, [token(1), token(2)], broken=broken, TELEGRAM_GLOBAL_LIMIT="0") as tempogram,
    ):
        await one_throttled(checks, telegram, tempogram)
        await three_in_order(checks, telegram, tempogram)


async def one_throttled(checks: Checks, telegram: RunningSimulator, tempogram: Engine) -> None:
    await telegram.order(Fault(kind="429", bot_id=1, chat_id=THROTTLED, times=1, retry_after_s=5))
    await tempogram.submit([message(1, THROTTLED, f"held #{number}") for number in range(4)])
    submitted_ms: dict[str, float] = {}
    for chat in range(1, CHATS + 1):
        text = f"other {chat}"
        submitted_ms[text] = time.time() * 1_000
        await tempogram.submit([message(1, chat, text)])
        await asyncio.sleep(max(0.0, EVERY_S - (time.time() - submitted_ms[text] / 1_000)))
    checks.that(await tempogram.drained(within_s=30), "the queue is empty again within 30 s")
    calls = await telegram.calls()
    held = [call for call in calls if call["chat_id"] == THROTTLED]
    others = [call["wall_ms"] - submitted_ms[call["text"]] for call in accepted(calls) if call["text"] in submitted_ms]
    silence_ms = held[1]["at_ms"] - held[0]["at_ms"]
    mean_s = statistics.mean(others) / 1_000
    print(f"  silent for {silence_ms / 1_000:.2f} s; {len(others)} others after {mean_s:.3f} s on the average")
    checks.that(silence_ms >= HOLD_MS, f"the throttled chat got nothing for {silence_ms / 1_000:.2f} s")
    checks.that([call["text"] for call in accepted(held)] == [f"held #{n}" for n in range(4)], "then all 4, in order")
    checks.that(len(others) == CHATS, f"{len(others)} of {CHATS} others delivered")
    checks.that(mean_s < 0.1, f"the others' mean delay {mean_s:.3f} s is under 0.1 s")


async def three_in_order(checks: Checks, telegram: RunningSimulator, tempogram: Engine) -> None:
    chat = 6_000
    await telegram.order(
        Fault(kind="5xx", bot_id=2, chat_id=chat, times=1),
        Fault(kind="reset_before", bot_id=2, chat_id=chat, times=1),
        Fault(kind="429", bot_id=2, chat_id=chat, times=1, retry_after_s=1),
    )
    await tempogram.submit([message(2, chat, f"three #{number}") for number in (1, 2, 3)])
    checks.that(await tempogram.drained(within_s=60), "the queue is empty again within 60 s")
    calls = [call for call in await telegram.calls() if call["chat_id"] == chat]
    texts = [call["text"] for call in accepted(calls)]
    print(f"  answers {[call['code'] for call in calls]}; arrived: {', '.join(texts)}")
    checks.that([call["code"] for call in calls] == [500, 0, 429, 200, 200, 200], "a 500, a reset and a 429 came first")
    checks.that(texts == ["three #1", "three #2", "three #3"], "in order, each once")


def message(bot: int, chat: int, text: str) -> dict[str, Any]:
    return {"bot": str(bot), "chat_id": chat, "text": text}


if __name__ == "__main__":
    main("A 429 on one chat: does it hold that chat, and no other?", bench)
