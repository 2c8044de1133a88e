"""The news of one process: there is nobody else. See ``ports.news``."""

from __future__ import annotations

import asyncio

from tempogram.engine.ports.changes import Item, Listener


class SilentNews:
    """See ``News``."""

    async def announce(self, item: Item) -> None: ...

    async def run(self, listener: Listener) -> None:  # noqa: ARG002 - it is never told anything
        await asyncio.Event().wait()
