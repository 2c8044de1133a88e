"""Runs work that starts servers and processes, so that none of them outlives it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

Result = TypeVar("Result")

ENDED_BY_SIGTERM = 128 + signal.SIGTERM
"""The status that a shell reports for a program that SIGTERM ended."""


def run_and_clean_up(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it in a loop of its own. SIGTERM cancels it once, as Ctrl-C does; what it started is stopped then."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_ended_by_sigterm(work))
        except asyncio.CancelledError:
            sys.exit(ENDED_BY_SIGTERM)


async def _ended_by_sigterm(work: Coroutine[Any, Any, Result]) -> Result:
    running = asyncio.current_task()
    assert running is not None

    def end() -> None:
        if not running.cancelling():  # a second one must not cut short what the first one began
            running.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    return await work
