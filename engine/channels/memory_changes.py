"""The news of one process: there is nobody else. See ``ports.changes``."""

from __future__ import annotations

import asyncio

from tempogram.engine.ports.changes import Change, Listener


class MemoryChanges:
    """See ``Changes``."""

    async def announce(self, item: Change) -> None: ...

    async def run(self, listener: Listener) -> None:  # noqa: ARG002 - it is never told anything
        await asyncio.Event().wait()
