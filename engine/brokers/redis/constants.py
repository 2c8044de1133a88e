"""The numbers that scripts are given: each stands in Python, where its reason is, and nowhere in Lua.

Some stand here, because only the scripts need them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tempogram.engine.brokers.redis.keys import LINES
from tempogram.engine.brokers.redis.records import NONE
from tempogram.engine.limits.aimd import (
    BLAME_MS,
    DOUBT_MS,
    DOWN_PERCENT,
    HOLDS_STAYED,
    KEPT_MS,
    PATIENCE,
    PATIENCE_MAX,
)
from tempogram.engine.limits.failing import CHATS_MIN, FAILING_AFTER_MS, FAILURES_MIN, TRIAL_MS_MAX, TRIAL_MS_MIN
from tempogram.engine.limits.fair_queue import LAG, STRIDE
from tempogram.engine.limits.limits import PURSE_GRAINS, SPACING_PRIORITIES
from tempogram.engine.limits.pool import ACTIVE_MS, KEPT_PART, SLOW_MS
from tempogram.engine.limits.spacing import LATE_MS
from tempogram.engine.limits.windows import NEAR_PERCENT
from tempogram.engine.model.clock import SET_BACK_MS
from tempogram.engine.model.messages import PRIORITIES
from tempogram.engine.ports.broker import BATCH_MAX, EXPIRED_MAX

TIMERS_MAX = 100
"""Timers that one call looks at, as every other call waits for it; if more are due, the next lease comes at once."""

LOOKS_MAX = 500
"""Lines that one call looks at; right after new limits most of them may find a chat that must wait now."""

ARGUMENTS_MAX = 2_000
"""Arguments of one command; Lua's stack bears some thousands."""

RESTORED_MS = 60_000
"""How long a restored chat is kept: what drained long ago may weigh on a later send, which another call restores."""

DEBT_KEPT_MS = 3_600_000
"""How long a lane that went before its turn is remembered while it is silent."""

CONSTANTS: Mapping[str, int | Sequence[str] | Sequence[bool]] = {
    "ACTIVE_MS": ACTIVE_MS,
    "ARGUMENTS_MAX": ARGUMENTS_MAX,
    "BATCH_MAX": BATCH_MAX,
    "BLAME_MS": BLAME_MS,
    "CHATS_MIN": CHATS_MIN,
    "DEBT_KEPT_MS": DEBT_KEPT_MS,
    "DOUBT_MS": DOUBT_MS,
    "DOWN_PERCENT": DOWN_PERCENT,
    "EXPIRED_MAX": EXPIRED_MAX,
    "FAILING_AFTER_MS": FAILING_AFTER_MS,
    "FAILURES_MIN": FAILURES_MIN,
    "HOLDS_STAYED": HOLDS_STAYED,
    "IS_SPACED": [*(priority in SPACING_PRIORITIES for priority in PRIORITIES), *(False for _ in PRIORITIES)],
    "KEPT_MS": KEPT_MS,
    "KEPT_PART": KEPT_PART,
    "LAG": LAG,
    "LATE_MS": LATE_MS,
    "LINES": LINES,
    "LOOKS_MAX": LOOKS_MAX,
    "NEAR_PERCENT": NEAR_PERCENT,
    "NONE": NONE,
    "PATIENCE": PATIENCE,
    "PATIENCE_MAX": PATIENCE_MAX,
    "PURSE_GRAINS": PURSE_GRAINS,
    "RESTORED_MS": RESTORED_MS,
    "SET_BACK_MS": SET_BACK_MS,
    "SLOW_MS": SLOW_MS,
    "STRIDE": STRIDE,
    "TIMERS_MAX": TIMERS_MAX,
    "TRIAL_MS_MAX": TRIAL_MS_MAX,
    "TRIAL_MS_MIN": TRIAL_MS_MIN,
}


def constants_table(constants: Mapping[str, int | Sequence[str] | Sequence[bool]] = CONSTANTS) -> str:
    """Return the line of Lua with which every script begins."""
    return f"local constants = {{{', '.join(f'{name} = {_lua(value)}' for name, value in constants.items())}}}"


def _lua(value: int | Sequence[str] | Sequence[bool]) -> str:
    """Write a value in Lua.

    >>> _lua(7), _lua(["high", "low"]), _lua([False, True])
    ('7', '{"high", "low"}', '{false, true}')
    """
    match value:
        case int():
            return str(value)
        case _:
            words = (str(each).lower() if isinstance(each, bool) else f'"{each}"' for each in value)
            return f"{{{', '.join(words)}}}"
