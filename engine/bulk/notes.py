"""Writes what has changed soon after it has, one note at a time; a note gathers what changed during the last one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from tempogram.engine.model.errors import LedgerError, UnstorableValue
from tempogram.engine.resilience.retry import retry

GAP_S = 0.05
"""Between two notes. untuned: what ends in it is done again after a kill; a commit takes some milliseconds of it."""

PATIENCE_S, RETRY_S = 30.0, 1.0
"""How long a note is tried while the database is away, and how often."""


class Notes:
    """Begins when it is made, in a running loop, and ends with ``close``.

    Attributes:
        broken: Why nothing can be written any more.
    """

    def __init__(self, write: Callable[[], Awaitable[None]], on_broken: Callable[[], object]) -> None:
        self.broken: Exception | None = None
        self._write = write
        self._on_broken = on_broken
        self._has_changed = False
        self._is_closing = False
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._writer = asyncio.create_task(self._write_all())

    def change(self) -> None:
        """Write soon."""
        self._has_changed = True
        self._wake.set()

    async def written(self) -> None:
        """Wait until what has changed up to now is written, and raise what prevents it."""
        if self.broken is not None:
            raise self.broken
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self._hurry.set()
        self.change()
        await written

    async def close(self) -> None:
        """Write what is not yet written, and end."""
        self._is_closing = True
        self._hurry.set()
        self._wake.set()
        try:
            await asyncio.wait({self._writer})
        finally:
            self._writer.cancel()

    async def _write_all(self) -> None:
        try:
            while self._has_changed or not self._is_closing:
                await self._wake.wait()
                self._wake.clear()
                if self._has_changed:
                    await self._write_one()
                    await self._gap()
        except Exception as error:  # noqa: BLE001 - each caller that waits raises it
            self.broken = error
            waiting, self._waiting = self._waiting, []
            _answer(waiting, error)
            self._on_broken()

    async def _write_one(self) -> None:
        self._has_changed = False
        self._hurry.clear()
        waiting, self._waiting = self._waiting, []
        try:
            await self._write_patiently()
        except Exception as error:
            _answer(waiting, error)
            raise
        _answer(waiting, None)

    async def _write_patiently(self) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + PATIENCE_S
        await retry(
            self._write,
            on=LedgerError,
            unless=UnstorableValue,
            pause_s=RETRY_S,
            give_up=lambda: self._is_closing or loop.time() >= until_s,
        )

    async def _gap(self) -> None:
        """Wait between two notes, but only until something waits for the next one."""
        if not self._is_closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GAP_S):
                    await self._hurry.wait()


def _answer(waiting: list[asyncio.Future[None]], error: Exception | None) -> None:
    for each in waiting:
        if each.done():
            continue
        if error is None:
            each.set_result(None)
        else:
            each.set_exception(error)
