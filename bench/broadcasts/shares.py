"""Ten bots with a broadcast each under the ceiling: what is the share of each, and does a cancelled one stop?

Question    Do ten bots with a broadcast each share the ceiling evenly, and does nothing of one of them arrive from a
            second after its cancellation on?
Workload    Ten bots of 30 messages a second, a ceiling of 30; 300 chats each. One is cancelled after a fifth.
Measured    At the simulator.
Checked     When it is cancelled, no bot has more than 20 % above or below its share; nothing of the cancelled one comes
            after one second, and the others go on and use the ceiling.

    python -m bench.broadcasts.shares [--bots 10] [--chats 300]
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from bench.broadcasts.casting import Casting, casting, options
from bench.harness import Checks, main

CEILING = 30
OFF_MAX = 0.2
AFTER_S = 5.0


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001, ARG001 - the harness hands it on
    given = options(__doc__, bots=10, chats=300)
    async with casting(bots=given.bots, chats=given.chats, ceiling=CEILING) as of:
        await run(checks, of, given.bots, given.chats)


async def run(checks: Checks, of: Casting, bots: int, chats: int) -> None:
    ids = {bot: await of.made(bot=bot) for bot in range(1, bots + 1)}
    for broadcast_id in ids.values():
        await of.do("start", broadcast_id)
    await asyncio.sleep(1)
    before = await shares(of)
    await of.until_arrived(before.total() + bots * chats // 5, within_s=60 + bots * chats / CEILING)
    by_bot = (await shares(of)) - before
    even = by_bot.total() / bots
    print(f"  {by_bot.total()} arrived since all have begun, by bot: {[by_bot[bot] for bot in sorted(ids)]}")
    off = max(abs(by_bot[bot] - even) / even for bot in ids)
    checks.that(off <= OFF_MAX, f"each has its share of {even:.0f}, at most {off:.0%} off")
    await cancel(checks, of, ids[1], bots)


async def shares(of: Casting) -> Counter[int]:
    by_bot = Counter[int]()
    for (bot, _), count in (await of.sent()).items():
        by_bot[bot] += count
    return by_bot


async def cancel(checks: Checks, of: Casting, broadcast_id: int, bots: int) -> None:
    begun = time.monotonic()
    await of.do("cancel", broadcast_id)
    took_s = time.monotonic() - begun
    await asyncio.sleep(max(0.0, 1 - took_s))
    before = await shares(of)
    await asyncio.sleep(AFTER_S)
    after = await shares(of)
    rate = (after.total() - before.total()) / AFTER_S
    checks.that(took_s <= 1, f"the cancellation was answered after {took_s:.2f} s")
    checks.that(after[1] == before[1], f"{after[1] - before[1]} of the cancelled one come after a second")
    checks.that(rate >= 0.9 * CEILING, f"the other {bots - 1} send {rate:.1f} a second")
    shown = await of.shown(broadcast_id)
    checks.that(shown["under_way"] == 0, f"{shown['under_way']} of it are under way")


if __name__ == "__main__":
    main("Ten bots with a broadcast each: what is the share of each, and does a cancelled one stop?", bench)
