"""Notices that a client has gone while its request is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive


@asynccontextmanager
async def watched(receive: Receive, body_read: asyncio.Event | None = None) -> AsyncIterator[asyncio.Task[None]]:
    """Give a task that ends when the client disconnects. Nothing else may read from it meanwhile.

    Args:
        receive: Of the request.
        body_read: Set once the body is read to its end, if something else reads it still.
    """
    gone = asyncio.create_task(_until_gone(receive, body_read))
    try:
        yield gone
    finally:
        gone.cancel()
        await asyncio.wait([gone])


async def _until_gone(receive: Receive, body_read: asyncio.Event | None) -> None:
    if body_read is not None:
        await body_read.wait()
    while (await receive())["type"] != "http.disconnect":
        pass  # what is left of the body
