"""Waits at the start for a database that is away: by hand, nothing would start the process again.

What is to be corrected, such as a password, ends the start. A Redis that is away is not waited for: without it the
process accepts messages, and may send them.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import TypeVar

import structlog

from tempogram.bot.terminal.steps import step
from tempogram.engine.model.errors import LedgerAway
from tempogram.engine.resilience.retry import Sleep, retry

log = structlog.get_logger()

PAUSE_S, PAUSE_S_MAX = 0.5, 5.0
"""Between two tries. untuned: a database that starts is not noticed much later, and many processes do not burden it."""

SAID_EVERY_S = 60.0

READ_S = 5.0
"""How long the head of a request may take while the process waits."""

WAY_OUT = "start it, or correct DATABASE_URL and start this process again; it goes on by itself once it is there"

Started = TypeVar("Started")


async def started(
    stack: AsyncExitStack,
    start: Callable[[AsyncExitStack], Awaitable[Started]],
    *,
    database: str,
    meanwhile: Callable[[], AbstractAsyncContextManager[object]] = nullcontext,
    sleep: Sleep = asyncio.sleep,
    seconds: Callable[[], float] = time.monotonic,
) -> Started:
    """Start what needs the database, from the beginning for as long as it is away.

    Args:
        stack: Ends what was started.
        start: Is given a stack of its own for each try; what it has entered is left again if the try fails.
        database: Its name, without a password.
        meanwhile: Is entered when the first try has failed, and left when one has succeeded.
        sleep: For tests.
        seconds: A clock that never goes back.

    Raises:
        EngineError: The start failed, and not because the database is away.
    """
    async with AsyncExitStack() as waiting:
        outage = Outage(database, seconds)

        async def attempt() -> Started:
            async with AsyncExitStack() as parts:
                result = await start(parts)
                stack.push_async_exit(parts.pop_all())
                return result

        async def attempt_and_note() -> Started:
            try:
                return await attempt()
            except LedgerAway as error:
                if outage.note(str(error)):
                    waiting.enter_context(step(f"waits for {database}"))
                    await waiting.enter_async_context(meanwhile())
                raise

        result = await retry(
            attempt_and_note,
            on=LedgerAway,
            pause_s=PAUSE_S,
            pause_s_max=PAUSE_S_MAX,
            sleep=lambda pause_s: sleep(pause_s * random.uniform(0.5, 1.0)),  # noqa: S311 - jitter, not a secret
        )
        outage.end()
        return result


class Outage:
    """Says when it begins, each minute, and when it is over."""

    def __init__(self, database: str, seconds: Callable[[], float]) -> None:
        self._database = database
        self._seconds = seconds
        self._since_s: float | None = None
        self._said_at_s = 0.0

    def note(self, reason: str) -> bool:
        """Note a failure; return whether it is the first."""
        now_s, is_first = self._seconds(), self._since_s is None
        if self._since_s is None:
            self._since_s = now_s
        if is_first or now_s - self._said_at_s >= SAID_EVERY_S:
            self._said_at_s = now_s
            after_ms = round((now_s - self._since_s) * 1_000)
            log.warning("start_waits", database=self._database, reason=reason, after_ms=after_ms, way_out=WAY_OUT)
        return is_first

    def end(self) -> None:
        if self._since_s is not None:
            after_ms = round((self._seconds() - self._since_s) * 1_000)
            log.warning("start_continued", database=self._database, after_ms=after_ms)


@asynccontextmanager
async def refusing(listener: socket.socket) -> AsyncIterator[None]:
    """Answer every request with 503 until the block ends: a health check sees why, and Telegram sends updates again."""
    server = await asyncio.start_server(_refuse, sock=listener.dup())  # its own socket, which it closes
    try:
        yield
    finally:
        server.close()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(READ_S):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(STARTING)
            await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # whatever it was, it gets no answer
    finally:
        writer.close()


_BODY = b'{"status":"starting"}'
STARTING = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """End the block quietly at SIGTERM, which would kill the process, or as the first one of a container do nothing.

    The HTTP server has a handler of its own, which takes the place of this one.
    """
    task, is_ended = asyncio.current_task(), False
    assert task is not None, "it is awaited"  # noqa: S101 - an invariant

    def end() -> None:
        nonlocal is_ended
        is_ended = True
        task.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if not is_ended:
            raise
        task.uncancel()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
