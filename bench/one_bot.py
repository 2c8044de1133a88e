"""One bot, 600 private chats: is Telegram's limit kept, and is it used?

Question    Do 600 messages of one bot leave as fast as 30 in any second allow, and never faster?
Workload    One message to each of 600 private chats, submitted at once over HTTP, priority normal.
Measured    At the simulator, which stamps a call when it has fully arrived: calls accepted a second,
            the first second not counted.
Not measured  The way to the real Telegram.
Checked     No 429, no window broken, nothing lost or sent twice; use of the limit at least
            window / (window + guard) = 97.6 %. Ideal: 100 %, the last message after 19.8 s.

    python -m bench.one_bot [--broken] [--roles]
"""

from __future__ import annotations

from bench.harness import Checks, engine, main, token
from tempogram.simulator.client import accepted, running_simulator

CHATS = 600
LIMIT = 30
LEAST_USE = 1_000 / 1_025


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with (
        running_simulator(total_limit=30) as telegram,
        engine(telegram.url, [token(1)], broken=broken) as tempogram,
    ):
        messages = [{"bot": "1", "chat_id": chat, "text": f"hello {chat}"} for chat in range(1, CHATS + 1)]
        await tempogram.submit(messages)
        checks.that(await tempogram.drained(within_s=60), "the queue is empty again within 60 s")
        report = await telegram.report()
        arrivals = [call["at_ms"] for call in accepted(await telegram.calls())]
    last_s = (arrivals[-1] - arrivals[0]) / 1_000
    counted = [at_ms for at_ms in arrivals if at_ms >= arrivals[0] + 1_000]
    use = len(counted) / (LIMIT * (arrivals[-1] - arrivals[0] - 1_000) / 1_000)
    print(f"  last message after {last_s:.2f} s (ideal 19.83); {use:.1%} of the limit used (ideal 100 %)")
    checks.that(len(arrivals) == CHATS, f"{len(arrivals)} of {CHATS} delivered")
    checks.that(report.broke_no_window, f"no window broken: {report.violations}")
    checks.that(use >= LEAST_USE, f"use of the limit {use:.1%} is at least {LEAST_USE:.1%}")


if __name__ == "__main__":
    main("One bot, 600 private chats: is the limit kept and used?", bench)
