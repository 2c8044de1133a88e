"""The script of the queue of calls, and the numbers that it is given: each stands in Python, where its reason is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tempogram.engine.brokers.redis import scripts
from tempogram.engine.brokers.redis.constants import constants_table
from tempogram.engine.brokers.redis.scripts import Script
from tempogram.engine.limits.windows import LATE_MS, NEAR_PERCENT, PURSE_GRAINS
from tempogram.engine.services.limit import KEPT_FROM_MS
from tempogram.engine.services.memory_queue import COVER_MS, RECLAIM_MS
from tempogram.engine.services.meter import (
    APART_GUARD_PERCENT,
    APART_GUARD_PERCENT_AT_FIRST,
    COUNTED_WITHIN_MS,
    GRAINS,
    QUICKEST_OF,
    ROUNDED_MS,
)

FOLDER = Path(__file__).parent / "lua"
SHARED = FOLDER / "shared"

LEASE_MS = 10_000
"""How long after it was last heard of the calls of a process are forgotten, and their places given to others."""

BEGUN_MAX = 50
"""Calls that one exchange lets begin at one limiter, as every other exchange waits for it."""

AGREEING = 2
"""Processes that must find an operation failing before none calls it."""

CONSTANTS = {
    "AGREEING": AGREEING,
    "APART_GUARD_PERCENT": APART_GUARD_PERCENT,
    "APART_GUARD_PERCENT_AT_FIRST": APART_GUARD_PERCENT_AT_FIRST,
    "BEGUN_MAX": BEGUN_MAX,
    "COUNTED_WITHIN_MS": COUNTED_WITHIN_MS,
    "COVER_MS": COVER_MS,
    "GRAINS": GRAINS,
    "KEPT_FROM_MS": KEPT_FROM_MS,
    "LATE_MS": LATE_MS,
    "LEASE_MS": LEASE_MS,
    "NEAR_PERCENT": NEAR_PERCENT,
    "PURSE_GRAINS": PURSE_GRAINS,
    "QUICKEST_OF": QUICKEST_OF,
    "RECLAIM_MS": RECLAIM_MS,
    "ROUNDED_MS": ROUNDED_MS,
}


@cache
def exchange() -> Script:
    return scripts.script(FOLDER / "exchange.lua", constants_table(CONSTANTS), SHARED)
