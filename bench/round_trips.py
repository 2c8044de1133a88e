"""One bot, 600 private chats, and a real way to Telegram: is the limit used, and kept?

Question    How much of the limit is used when a call takes its time, and is no window broken, wherever within the
            round trip Telegram counts it?
Workload    One message to each of 600 private chats, submitted at once over HTTP, priority normal. A round trip takes
            40 ms (log-normal, sigma 0.35), 120 ms always, or 120 ms (sigma 0.35); the simulator counts at arrival,
            in the middle, or just before its answer.
Measured    At the simulator: calls accepted a second, the first second not counted.
Not measured  The way to the real Telegram.
Checked     No 429, no window broken; the use of the limit at least what stands in ``WAYS``. None can use more than
            window / (window + mean - shortest round trip): the place of a call counts from its answer, since Telegram
            may count just before it, and only the shortest way may be taken off.

    python -m bench.round_trips [--broken] [--roles]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bench.harness import Checks, engine, main, token
from tempogram.simulator.client import accepted, running_simulator
from tempogram.simulator.limits.faults import Fault

CHATS = 600
LIMIT = 30

Counted = Literal["out", "middle", "in"]
"""Where the simulator counts: at once, half-way, or just before it answers."""


@dataclass(frozen=True, slots=True)
class Way:
    """How long a call takes, and how much of the limit must be used nevertheless."""

    name: str
    median_ms: int
    sigma: float
    least_use: float


WAYS = (
    Way("40 ms, sigma 0.35", 40, 0.35, 0.95),
    Way("120 ms, steady", 120, 0.0, 0.97),
    Way("120 ms, sigma 0.35", 120, 0.35, 0.88),
)


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    for way in WAYS:
        for counted in get_args(Counted):
            await measure(checks, way, counted, broken=broken)


async def measure(checks: Checks, way: Way, counted: Counted, *, broken: bool) -> None:
    async with (
        running_simulator(total_limit=LIMIT) as telegram,
        engine(telegram.url, [token(1)], broken=broken) as tempogram,
    ):
        await telegram.order(Fault(kind="latency", delay_ms=way.median_ms, sigma=way.sigma, where=counted))
        messages = [{"bot": "1", "chat_id": chat, "text": f"hello {chat}"} for chat in range(1, CHATS + 1)]
        await tempogram.submit(messages)
        checks.that(await tempogram.drained(within_s=60), "the queue is empty again within 60 s")
        report = await telegram.report()
        arrivals = [call["at_ms"] for call in accepted(await telegram.calls())]
    last_s = (arrivals[-1] - arrivals[0]) / 1_000
    later = [at_ms for at_ms in arrivals if at_ms >= arrivals[0] + 1_000]
    use = len(later) / (LIMIT * (last_s - 1))
    throttled = sum(report.throttled.values())
    print(f"  {way.name}, counted {counted}: last after {last_s:.2f} s, {use:.1%} of the limit, {throttled} x 429")
    checks.that(not throttled and report.broke_no_window, f"no 429, no window broken: {report.violations}")
    checks.that(use >= way.least_use, f"use of the limit {use:.1%} is at least {way.least_use:.0%}")


if __name__ == "__main__":
    main("One bot, 600 private chats, a real way: is the limit used and kept?", bench)
