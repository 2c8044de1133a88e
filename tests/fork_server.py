"""Starts modules as ``python -m`` does, without the seconds of importing that each start takes: a server has imported.

The server is a process that imports once and forks for each start. A fork is then a process like any other: it is
killed and ended by signals, has its own environment, folder and output, and ends as an interpreter ends. Where the
start itself is tested, a process is started as a user starts it.

As a program (``python -m tests.fork_server KIND``) it is the server: it takes requests on the socket that is its
standard input, and ends with the process at the other end.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Any

from tests import ROOT

PRELOADED = {
    "tempogram": (
        "tempogram.bot.commands.roles",
        "tempogram.bot.commands.cli",
        "tempogram.bot.commands.client",
        "tempogram.bot.behaviours.own",
        "tempogram.bot.runtime.main",
        "tempogram.bot.wiring.front",
        "tempogram.api.app",
        "tempogram.storage.migrations",
        "tempogram.bot.embedding.tempogram",
        "tempogram.bot.alerts.chat",
        "tempogram.bot.alerts.email",
        "tempogram.bot.alerts.webhook",
        "tempogram.bot.broadcasts.star_bills",
        "alembic.command",
        "aiosqlite",
        "asyncpg",
        "uvicorn.lifespan.off",
        "tempogram.bot.behaviours.echo",
    ),
    # aiogram first and as it comes, as a user's own program has it
    "own": (
        "aiogram",
        "tests.end_to_end.own_program",
        "tempogram.bot.embedding.tempogram",
        "tempogram.bot.wiring.front",
        "tempogram.storage.migrations",
        "alembic.command",
        "aiosqlite",
        "asyncpg",
    ),
}
"""What each kind of server imports before it forks: what its programs would import."""

MESSAGE_MAX = 1 << 20
FILES = 4


class ForkedProcess(asyncio.subprocess.Process):
    """A process that a server has forked; used like one of asyncio's."""

    def __init__(self, pid: int, ended: asyncio.Task[int]) -> None:
        self.pid = pid
        self.stdin = self.stdout = self.stderr = None
        self._ended = ended

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def send_signal(self, signal: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def start(
    kind: str | None,
    module: str,
    *words: str,
    env: Mapping[str, str],
    cwd: Path,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
) -> asyncio.subprocess.Process:
    """Start ``python -m module words`` by a server of a kind, None: as a user does.

    A channel that is not given leads nowhere.
    """
    if kind is None:
        nowhere = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *words),
            env=env,
            cwd=cwd,
            stdin=stdin or nowhere,
            stdout=stdout or nowhere,
            stderr=stderr or nowhere,
        )
    request = {"module": module, "words": words, "env": dict(env), "cwd": str(cwd)}
    ours, theirs = socket.socketpair()
    await asyncio.to_thread(_ask, kind, request, theirs, (stdin, stdout, stderr))
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    pid = int(await reader.readline())
    return ForkedProcess(pid, asyncio.create_task(_status(reader, writer)))


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    try:
        return int(await reader.readline())
    finally:
        writer.close()


def _ask(kind: str, request: Mapping[str, Any], channel: socket.socket, files: Iterable[IO[bytes] | None]) -> None:
    with channel, Path(os.devnull).open("r+b", buffering=0) as nowhere:
        descriptors = [channel.fileno(), *((each or nowhere).fileno() for each in files)]
        with _starting:
            server = _server(kind)
        socket.send_fds(server, [json.dumps(request).encode()], descriptors)


_starting = Lock()
"""Two that fork at once wait for one server."""


@cache
def _server(kind: str) -> socket.socket:
    """Start a server, which takes as long as one start of a program."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", kind],
            cwd=ROOT,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


class _Served:
    """The server's side: its children by their process ids, and where to say how each ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._channels: dict[int, socket.socket] = {}
        self._woken, waking = socket.socketpair()
        for each in (self._woken, waking):
            each.settimeout(0)
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end this
        self._waking = waking

    def until_forked(self) -> dict[str, Any] | None:
        """Fork for each request: return in each child what it is to run, and here None at the end of all."""
        while True:
            readable, *_ = select.select([self._requests, self._woken], [], [])
            if self._woken in readable:
                with suppress(BlockingIOError):
                    self._woken.recv(MESSAGE_MAX)
                self._reap()
            if self._requests in readable:
                message, files, *_ = socket.recv_fds(self._requests, MESSAGE_MAX, FILES)
                if not message:
                    self._end()
                    return None
                if (request := self._fork(json.loads(message), *files)) is not None:
                    return request

    def _fork(self, request: dict[str, Any], channel: int, *files: int) -> dict[str, Any] | None:
        pid = os.fork()
        if pid:
            self._channels[pid] = socket.socket(fileno=channel)
            self._channels[pid].send(f"{pid}\n".encode())
        else:
            self._leave()
            os.close(channel)
            for number, file in enumerate(files):
                os.dup2(file, number)
            sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
        for file in files:
            os.close(file)
        return None if pid else request

    def _leave(self) -> None:
        """Close in a child what is the server's, and take its signals as any program does."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for each in (self._requests, self._woken, self._waking, *self._channels.values()):
            each.close()

    def _reap(self) -> None:
        for pid in list(self._channels):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._channels.pop(pid) as channel, suppress(OSError):
                    channel.send(f"{os.waitstatus_to_exitcode(status)}\n".encode())

    def _end(self) -> None:
        """Leave no child behind."""
        for pid in self._channels:
            os.kill(pid, signal.SIGKILL)


def _become(request: Mapping[str, Any]) -> None:
    """Run the module as ``python -m`` does, up to the end of the interpreter."""
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[:0] = [request["cwd"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [request["module"], *request["words"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def main(kind: str) -> None:
    gc.disable()
    if kind == "tempogram":
        from tempogram.bot.commands.entry import import_structlog
        from tempogram.bot.telegram.aiogram_import import import_aiogram

        import_structlog()
        import_aiogram()
    for name in PRELOADED[kind]:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    if request := _Served(socket.socket(fileno=os.dup(0))).until_forked():
        _become(request)


if __name__ == "__main__":
    main(sys.argv[1])
