"""The scripts of the queue of calls, and the numbers that they are given: each stands in Python, with its reason."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from tempogram.engine.brokers.redis import scripts
from tempogram.engine.brokers.redis.constants import constants_table
from tempogram.engine.brokers.redis.scripts import Script
from tempogram.engine.limits.spacing import LATE_MS
from tempogram.engine.services.limit import KEPT_FROM_MS
from tempogram.engine.services.memory_queue import COVER_MS, RECLAIM_MS
from tempogram.engine.services.meter import (
    APART_GUARD_PERCENT,
    APART_GUARD_PERCENT_AT_FIRST,
    COUNTED_WITHIN_MS,
    FORGOTTEN_AFTER_MS,
    GRAINS,
    QUICKEST_OF,
    ROUNDED_MS,
)

FOLDER = Path(__file__).parent / "lua"
SHARED = FOLDER / "shared"

LEASE_MS = 9_000
"""How long after it was last heard of the calls of a process are forgotten, and their places given to others.

With the second in which another process notices it, these come back within 10 s."""

BEGUN_MAX = 50
"""Calls that one exchange lets begin at one limiter, as every other exchange waits for it."""

AGREEING = 2
"""Processes that must find an operation failing before none calls it."""

PROBED_MS = 60_000
"""How long an operation that processes found failing is only probed if none of them says that it is well again: they
may have ended. untuned: longer than an attempt takes."""

LIMIT_KEPT_MS = 3_600_000
"""How long a limit is remembered that was changed. untuned: a call that waits longer has met its deadline."""

SET_BACK_MS = 1_000
"""By more than this the clock of Redis was set back. Until less was made good, the time of the queue stands still."""

CONSTANTS = {
    "AGREEING": AGREEING,
    "APART_GUARD_PERCENT": APART_GUARD_PERCENT,
    "APART_GUARD_PERCENT_AT_FIRST": APART_GUARD_PERCENT_AT_FIRST,
    "BEGUN_MAX": BEGUN_MAX,
    "COUNTED_WITHIN_MS": COUNTED_WITHIN_MS,
    "COVER_MS": COVER_MS,
    "FORGOTTEN_AFTER_MS": FORGOTTEN_AFTER_MS,
    "GRAINS": GRAINS,
    "KEPT_FROM_MS": KEPT_FROM_MS,
    "LATE_MS": LATE_MS,
    "LEASE_MS": LEASE_MS,
    "LIMIT_KEPT_MS": LIMIT_KEPT_MS,
    "PROBED_MS": PROBED_MS,
    "QUICKEST_OF": QUICKEST_OF,
    "RECLAIM_MS": RECLAIM_MS,
    "ROUNDED_MS": ROUNDED_MS,
    "SET_BACK_MS": SET_BACK_MS,
}


@cache
def exchange() -> Script:
    return scripts.script(FOLDER / "exchange.lua", constants_table(CONSTANTS), SHARED)


@cache
def states() -> Script:
    return scripts.script(FOLDER / "states.lua", constants_table(CONSTANTS), SHARED)


async def run(redis: Redis, script: Script, state: str, *arguments: str | int | bytes) -> Any:
    """Run a script, which Redis may not know any more."""
    words = 1, state, *arguments
    try:
        return await redis.execute_command("EVALSHA", script.sha, *words)  # type: ignore[no-untyped-call]
    except NoScriptError:
        return await redis.execute_command("EVAL", script.text, *words)  # type: ignore[no-untyped-call]
