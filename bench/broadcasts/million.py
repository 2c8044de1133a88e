"""A million recipients: what do they cost?

Question    How long is it from the start to the first message, how much memory does the engine need, and how large are
            the rows of the recipients?
Workload    One bot of 30 messages a second with 1,000,000 chats. With --dry it is cancelled as soon as all recipients
            have their rows; without, all messages are sent, which takes nine hours.
Measured    At the simulator; the engine's memory; the database's file.
Checked     The first message within 5 s; at most 60 MB more memory than before the start.

    python -m bench.broadcasts.million [--recipients 1000000] [--dry]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench.broadcasts.casting import Casting, casting, options
from bench.harness import Checks, main

FIRST_S_MAX = 5.0
MORE_MB_MAX = 60


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001, ARG001 - the harness hands it on
    recipients = options(__doc__, recipients=1_000_000).recipients
    async with casting(chats=recipients) as of:
        await run(checks, of, recipients, is_dry="--dry" in sys.argv[1:])


async def run(checks: Checks, of: Casting, recipients: int, *, is_dry: bool) -> None:
    before_mb, before_bytes, begun = of.memory_mb(), size(of), time.monotonic()
    broadcast_id = await of.started()
    first_s = await of.until_arrived(1, within_s=60)
    memory_mb = 0.0

    async def are_all_known() -> bool:
        nonlocal memory_mb
        memory_mb = max(memory_mb, of.memory_mb())
        return bool((await of.shown(broadcast_id))["is_gathered"])

    await of.until(are_all_known, within_s=60 + recipients / 500)
    gathered_s, more_bytes = time.monotonic() - begun, size(of) - before_bytes
    print(
        f"  {recipients:,} recipients have their rows after {gathered_s:.1f} s, {recipients / gathered_s:,.0f} a second"
    )
    print(f"  the rows: {more_bytes / 1e6:.1f} MB, {more_bytes / recipients:.0f} bytes each with their indexes")
    checks.that(first_s <= FIRST_S_MAX, f"the first message after {first_s:.2f} s")
    checks.that(memory_mb - before_mb <= MORE_MB_MAX, f"memory: {before_mb:.0f} MB, at most {memory_mb:.0f} MB then")
    if is_dry:
        await of.do("cancel", broadcast_id)
    else:
        await of.until_done(broadcast_id, within_s=2 * recipients / 30)


def size(of: Casting) -> int:
    """Return the bytes of the database, with those that are not in its main file yet."""
    path = Path(of.tempogram.environment["DATABASE_URL"].removeprefix("sqlite:///"))
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


if __name__ == "__main__":
    main("A million recipients: what do they cost?", bench)
