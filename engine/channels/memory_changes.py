"""The changes channel of a single process, which has no other to hear from."""

from __future__ import annotations

import asyncio

from tempogram.engine.ports.changes import Change, Listener


class MemoryChanges:
    """See ``Changes``."""

    async def announce(self, item: Change) -> None: ...

    async def run(self, listener: Listener) -> None:  # noqa: ARG002 - no other process announces anything
        await asyncio.Event().wait()
