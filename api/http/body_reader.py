"""Receives the body of a request: bounded in bytes, in time, and, together with all others, in memory."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

from tempogram.api.core.errors import BodyTooSlow, Busy, TooLarge

BODY_S = 20.0
PACE_BYTES = 16 << 10
"""In each such time, as long as it is waited for, a client sends so much of a body, or the rest of it. A large file may
take hours; a byte now and then does not keep a connection. untuned: 0.8 KB/s is less than any line has."""

UNFINISHED_BYTES_MAX = 64 << 20
"""Of all bodies together that are kept in memory until they are complete. untuned: 64 of the largest webhooks."""

NO_MEMORY = "too much of other bodies is waited for; try again in a moment"


class BodyMemory:
    """How many bytes are kept of bodies that are not complete. Beyond a bound, the one that has stood longest goes."""

    def __init__(self, bytes_max: int = UNFINISHED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._unfinished: dict[BodyReader, int] = {}  # the one that has stood longest is first

    def keep(self, reader: BodyReader, count: int, *, has_kept_pace: bool) -> None:
        """Note that bytes more of a body are in memory, and it is not complete."""
        kept = self._unfinished.pop(reader, 0) if has_kept_pace else self._unfinished.get(reader, 0)
        self._unfinished[reader] = kept + count
        self._bytes += count
        while self._bytes > self._bytes_max:
            slowest = next(iter(self._unfinished))
            self.free(slowest)
            slowest.refuse()

    def free(self, reader: BodyReader) -> None:
        """Note that a body is complete, or given up."""
        self._bytes -= self._unfinished.pop(reader, 0)


class BodyReader:
    """Passes a body on as it arrives; it is a ``Receive``.

    Args:
        receive: Of the request.
        bytes_max: Of the body.
        memory: Of the server, if the body is kept in it until it is complete.

    Raises, when called:
        TooLarge: The body has more bytes.
        BodyTooSlow: It does not arrive at the pace above.
        Busy: There is no memory for more of it.
    """

    def __init__(self, receive: Receive, bytes_max: int, memory: BodyMemory | None = None) -> None:
        self._receive = receive
        self._bytes_max = self._bytes_left = bytes_max
        self._memory = memory
        self._seconds_left = BODY_S
        self._paced_bytes = 0
        self._is_complete = self._is_refused = False
        self._waiting: asyncio.Timeout | None = None

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        event = await self._next()
        count = len(event.get("body", b""))
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise TooLarge(self._bytes_max)
        self._is_complete = not event.get("more_body", False)
        has_kept_pace = self._note_pace(count)
        if self._memory is not None:
            if self._is_complete:
                self._memory.free(self)
            else:
                self._memory.keep(self, count, has_kept_pace=has_kept_pace)
        return event

    def refuse(self) -> None:
        """Give the body up."""
        self._is_refused = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def close(self) -> None:
        """Note that nothing more is read of it."""
        if self._memory is not None:
            self._memory.free(self)

    async def _next(self) -> Message:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            if self._is_refused:
                raise Busy(NO_MEMORY)
            async with asyncio.timeout(self._seconds_left) as self._waiting:
                return await self._receive()
        except TimeoutError:
            if self._is_refused:
                raise Busy(NO_MEMORY) from None
            raise BodyTooSlow(f"a body must arrive by {PACE_BYTES:,} bytes in {BODY_S:g} s at least") from None
        finally:
            self._waiting = None
            self._seconds_left -= loop.time() - began_s

    def _note_pace(self, count: int) -> bool:
        self._paced_bytes += count
        if self._paced_bytes < PACE_BYTES:
            return False
        self._seconds_left, self._paced_bytes = BODY_S, 0
        return True
