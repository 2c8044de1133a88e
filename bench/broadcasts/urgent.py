"""An urgent message during a broadcast: how long does it wait?

Question    At the default limits, with a broadcast to 1,500 chats under way, how long do 10 urgent messages wait, each
            of which comes alone?
Workload    One bot of 30 messages a second, a ceiling of 30. One urgent message each 1.3 s.
Measured    From the moment before the HTTP request to the arrival at the simulator.
Checked     Each within a slot (1/30 s) + the latency of an idle engine + 50 ms; no window broken.

    python -m bench.broadcasts.urgent [--chats 1500] [--urgent 10]
"""

from __future__ import annotations

import asyncio
import time

from bench.broadcasts.casting import Casting, casting, options
from bench.harness import Checks, main, quantile
from bench.urgent import idle_latency_ms
from tempogram.simulator.client import accepted

SLOT_MS, SLACK_MS = 1_000 / 30, 50
EVERY_S = 1.3
FIRST_CHAT = 20_000


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001, ARG001 - the harness hands it on
    given = options(__doc__, chats=1_500, urgent=10)
    async with casting(chats=given.chats, ceiling=30) as of:
        await run(checks, of, given.urgent)


async def run(checks: Checks, of: Casting, urgent: int, *, slack_ms: float = SLACK_MS) -> None:
    idle_ms = await idle_latency_ms(of.telegram, of.tempogram)
    broadcast_id = await of.started()
    await of.until_arrived(30, within_s=30)
    waits_ms = [await wait_ms(of, number) for number in range(urgent)]
    shown, report = await of.shown(broadcast_id), await of.telegram.report()
    most_ms = idle_ms + SLOT_MS + slack_ms
    print(f"  {', '.join(f'{each:.0f}' for each in sorted(waits_ms))} ms (idle {idle_ms:.0f} ms)")
    checks.that(shown["state"] == "running", "the broadcast is under way all the time")
    checks.that(max(waits_ms) <= most_ms, f"each within {most_ms:.0f} ms; half within {quantile(waits_ms, 0.5):.0f}")
    checks.that(report.broke_no_window, f"no window broken: {report.violations}")


async def wait_ms(of: Casting, number: int) -> float:
    await asyncio.sleep(EVERY_S)
    seen, text = len(await of.telegram.calls()), f"urgent {number}"
    before_ms = time.time() * 1_000
    await of.tempogram.submit([{"bot": "1", "chat_id": FIRST_CHAT + number, "text": text, "priority": "high"}])

    async def is_there() -> bool:
        return any(call["text"] == text for call in accepted(await of.telegram.calls(since=seen)))

    await of.until(is_there, within_s=10)
    call = next(each for each in accepted(await of.telegram.calls(since=seen)) if each["text"] == text)
    waited: float = call["wall_ms"] - before_ms
    return waited


if __name__ == "__main__":
    main("An urgent message during a broadcast: how long does it wait?", bench)
