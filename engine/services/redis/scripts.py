"""The script of the queue of calls, with the numbers that it is given."""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from pathlib import Path

from tempogram.engine.services import memory_queue, meter
from tempogram.engine.services.limit import KEPT_FROM_MS

LUA = Path(__file__).parent / "lua"
WINDOWS = Path(__file__).parents[2] / "brokers/redis/lua/shared/windows.lua"

LEASE_MS = 10_000
"""How long after it was last heard of the calls of a process are forgotten, and their places given to others."""

BEGUN_MAX = 50
"""Calls that one exchange lets begin at one limiter, as every other exchange waits for it."""

AGREEING = 2
"""Processes that must find an operation failing before none calls it."""

CONSTANTS = {
    "AGREEING": AGREEING,
    "APART_GUARD_PERCENT": meter.APART_GUARD_PERCENT,
    "BEGUN_MAX": BEGUN_MAX,
    "COUNTED_WITHIN_MS": meter.COUNTED_WITHIN_MS,
    "COVER_MS": memory_queue.COVER_MS,
    "GRAINS": meter.GRAINS,
    "KEPT_FROM_MS": KEPT_FROM_MS,
    "LEASE_MS": LEASE_MS,
    "RECLAIM_MS": memory_queue.RECLAIM_MS,
}


@cache
def exchange() -> tuple[str, str]:
    """Return the text of the script, and the name under which Redis remembers it."""
    table = "local constants = {" + ", ".join(f"{k} = {v}" for k, v in CONSTANTS.items()) + "}"
    parts = [
        table,
        *(
            p.read_text()
            for p in (WINDOWS, LUA / "shared/meters.lua", LUA / "shared/call_queue.lua", LUA / "exchange.lua")
        ),
    ]
    text = "\n".join(parts)
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()
