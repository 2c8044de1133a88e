"""A Redis that the tests start for themselves, and stop again: never one that they did not make."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from struct import Struct
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection

from tempogram.bot.demo.process import free_port
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.brokers.redis.keys import prefix
from tests.engine.fake_redis import CANNOT

CLOCK, CLOCK_AT = Struct("<d"), 9
"""The time of the queue in its state, after a flag and the incarnation; see ``lua/shared/state.lua``."""

START_S = 60.0
"""More than a server takes to start on a machine that does much else."""

ENDED_S = 60.0
"""More than a command takes that has lost its connection."""


@contextmanager
def own_redis(folder: Path, *more_words: str, port: int | None = None) -> Iterator[str]:
    """Start a server on a free port that keeps nothing, yield its URL, and end exactly that one.

    ``more_words`` overrule: with ``--appendonly yes`` it keeps everything in its folder.
    """
    program = shutil.which("redis-server")
    if program is None:
        _do_without()
    port = port or free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([str(program), *words, *more_words], stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    """Connect until the block ends; then nothing is connected, nor will be.

    What a killed process left under way, such as a batch of settlements, would otherwise take a connection of the
    closed pool, which none closes: the garbage collector reports it, in any later test.
    """
    redis = connect(url)
    pool = redis.connection_pool
    try:
        yield redis
    finally:
        pool.get_connection = _refuse  # type: ignore[method-assign]
        await pool.disconnect()
        async with asyncio.timeout(ENDED_S):
            while pool._in_use_connections:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
        await pool.disconnect()  # also what was still connecting before


async def set_ahead(redis: Redis, ms: int) -> None:
    """Let the queue have been used while the clock of Redis was so far ahead, as its state says."""
    raw = await redis.get(f"{prefix()}state")
    assert isinstance(raw, bytes)
    (clock_ms,) = CLOCK.unpack_from(raw, CLOCK_AT)
    await redis.set(f"{prefix()}state", raw[:CLOCK_AT] + CLOCK.pack(clock_ms + ms) + raw[CLOCK_AT + CLOCK.size :])


async def _refuse(*_: object, **__: object) -> NoReturn:
    raise NoConnection("the test that would have closed the connection is over")


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers; one that has ended did not get its port, and another one may answer there."""
    end_s = time.monotonic() + START_S
    while True:
        if server.poll() is not None:
            pytest.fail(f"redis-server did not start on port {port}: it ended with {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.01)
        else:
            return


def _do_without() -> None:
    reason = f"NO redis-server on the path: of the queue of many processes only the contract runs, without {CANNOT}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
