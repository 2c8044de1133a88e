"""A Redis that the tests start for themselves, and stop again: never one that they did not make."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tempogram.bot.demo.process import free_port
from tests.engine.fake_redis import CANNOT

START_S = 60.0
"""More than a server takes to start on a machine that does much else."""


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
