"""A broadcast that is paused, killed and resumed: does each chat get it once?

Question    Does each of 100,000 chats get a broadcast once, though it is paused and resumed, and the engine is killed
            in the middle and started again? Does its memory stay flat, and is the preview's end right?
Workload    One bot of 300 messages a second, no ceiling; so it takes some 6 minutes. Paused for 3 s after a quarter,
            killed (kill -9) after half.
Measured    At the simulator; memory of the engine's process each second.
Checked     Each chat once, none not at all (what was in flight when it was killed may be uncertain, and is counted so);
            nothing arrives during the pause after its first second; the memory at the end at most 40 MB above that
            after a tenth; the preview's end within 10 % of what happened, without the pause and the restart.

    python -m bench.broadcasts.once [--chats 100000]
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from bench.broadcasts.casting import Casting, casting, moment, options
from bench.harness import Checks, main

BOT_LIMIT = 300
PAUSE_S = 3.0
IN_FLIGHT_MAX = 100
GROWTH_MB_MAX = 40


@dataclass
class Memory:
    """The engine's memory, second by second; it begins anew with a new process."""

    samples: list[float] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        """Return by how much the last second is above that after a tenth."""
        return self.samples[-1] - self.samples[len(self.samples) // 10] if self.samples else 0.0

    async def watch(self, of: Casting) -> None:
        while True:
            self.samples.append(of.memory_mb())
            await asyncio.sleep(1)


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001, ARG001 - the harness hands it on
    chats = options(__doc__, chats=100_000).chats
    async with casting(chats=chats, bot_limit=BOT_LIMIT) as of:
        await run(checks, of, chats)


async def run(checks: Checks, of: Casting, chats: int, *, bot_limit: int = BOT_LIMIT) -> None:
    broadcast_id, within_s = await of.made(), 60 + 4 * chats / bot_limit
    forecast = await of.do("preview", broadcast_id)
    asked = time.time()
    begun = time.monotonic()
    await of.do("start", broadcast_id)
    memory = Memory()
    watching = asyncio.create_task(memory.watch(of))
    try:
        await of.until_arrived(1, within_s=30)
        print(f"  the first message {time.monotonic() - begun:.2f} s after the start")
        paused_s = await pause(checks, of, broadcast_id, chats // 4, within_s)
        await of.until_arrived(chats // 2, within_s=within_s)
    finally:
        watching.cancel()
    print(f"  memory until it was killed: {memory.samples[-1]:.0f} MB, grown by {memory.growth_mb:.0f} MB")
    checks.that(memory.growth_mb <= GROWTH_MB_MAX, f"memory is flat: {memory.growth_mb:.0f} MB more")
    away_s = await kill(of)
    await of.until_done(broadcast_id, within_s=within_s)
    took_s = time.monotonic() - begun - paused_s - away_s
    await judge(checks, of, broadcast_id, chats)
    compare(checks, moment(forecast["ends_at"]) - asked, took_s)


async def pause(checks: Checks, of: Casting, broadcast_id: int, after: int, within_s: float) -> float:
    """Pause for a while, and return how long nothing was sent."""
    await of.until_arrived(after, within_s=within_s)
    begun = time.monotonic()
    await of.do("pause", broadcast_id)
    await asyncio.sleep(1)
    before = await of.arrived()
    await asyncio.sleep(PAUSE_S - 1)
    more = await of.arrived() - before
    checks.that(more == 0, f"{more} arrive in the pause, after its first second")
    await of.do("resume", broadcast_id)
    await of.until_arrived(before + 1, within_s=30)
    return time.monotonic() - begun


async def kill(of: Casting) -> float:
    """Kill the engine and start it again; return how long nothing was sent."""
    begun = time.monotonic()
    await of.tempogram.kill()
    before = await of.arrived()
    print(f"  killed after {before:,}")
    await of.tempogram.start()
    await of.until_arrived(before + 1, within_s=60)
    return time.monotonic() - begun


async def judge(checks: Checks, of: Casting, broadcast_id: int, chats: int) -> None:
    sent, shown = await of.sent(), await of.shown(broadcast_id)
    outcomes = {name: count for name, count in shown["outcomes"].items() if count}
    print(f"  outcomes: {outcomes}")
    twice = sum(1 for count in sent.values() if count > 1)
    uncertain = outcomes.get("uncertain", 0)
    checks.that(twice == 0, f"{twice} chats got it twice")
    checks.that(chats - len(sent) <= uncertain, f"{chats - len(sent)} chats got none, {uncertain} are uncertain")
    checks.that(uncertain <= IN_FLIGHT_MAX, f"{uncertain} uncertain, at most {IN_FLIGHT_MAX} were in flight")
    checks.that(sum(outcomes.values()) == chats, f"every recipient has an outcome: {sum(outcomes.values()):,}")
    report = await of.telegram.report()
    checks.that(report.broke_no_window, f"no window broken: {report.violations}")


def compare(checks: Checks, said_s: float, took_s: float) -> None:
    off = abs(said_s - took_s) / took_s
    checks.that(off <= 0.1, f"the preview said {said_s:.1f} s, it took {took_s:.1f} s: {off:.1%} off, at most 10 %")


if __name__ == "__main__":
    main("A broadcast that is paused, killed and resumed: does each chat get it once?", bench)
