"""Runs what only one process of a fleet may do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from engine.insist import Sleep
from engine.ports.epochs import Leadership

log = structlog.get_logger()

LOOK_EVERY_S = 2.0
"""Between two looks whether this process leads. A guess; it costs one short query."""


async def while_leading(
    leadership: Leadership, work: Callable[[], Coroutine[Any, Any, None]], *, sleep: Sleep = asyncio.sleep
) -> None:
    """Run work whenever this process leads, and cancel it once another may; never returns.

    Work that fails is begun again at the next look. When this is cancelled, another may lead at once.
    """
    try:
        while True:
            if await leadership.leads():
                await _lead(leadership, work, sleep)
            await sleep(LOOK_EVERY_S)
    finally:
        await leadership.resign()


async def _lead(leadership: Leadership, work: Callable[[], Coroutine[Any, Any, None]], sleep: Sleep) -> None:
    task = asyncio.create_task(work())
    try:
        while not task.done() and await leadership.leads():
            await sleep(LOOK_EVERY_S)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("what one process does for all failed", reason=type(error).__name__, exc_info=error)
