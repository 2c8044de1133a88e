"""Runs code in a process of its own, without the second of importing that each takes: a server has imported, and forks.

Where the start itself is what is tested, a process is started as a user starts it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from tests import ROOT
from tests.end_to_end.program import ADMIN_TOKEN
from tests.fork_server import start

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(
    [__name__, "tempogram.bot.commands.cli", "tempogram.bot.commands.client", "tempogram.bot.behaviours.own"]
)


async def type_in(directory: Path, words: Sequence[str], *, answer: str = "", **changes: str) -> tuple[int, str, str]:
    """Run a command of ``tempogram``, and return its status and what it printed on both channels."""
    usual = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ADMIN_TOKEN": ADMIN_TOKEN, "COLUMNS": "200"}
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(answer.encode())
        stdin.seek(0)
        process = await start(
            "tempogram",
            *("tempogram", *words),
            env=usual | changes,
            cwd=directory,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        status = await process.wait()
        return status, _text_of(stdout), _text_of(stderr)


def _text_of(channel: IO[bytes]) -> str:
    channel.seek(0)
    return channel.read().decode()


def run_forked(
    directory: Path,
    run: Callable[[], None],
    words: Sequence[str] = (),
    *,
    answer: str = "",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run a function of a module in that directory, with these arguments; return as ``type_in`` does."""
    with TemporaryDirectory() as channels:
        streams = [Path(channels) / name for name in ("input", "output", "errors")]
        streams[0].write_text(answer)
        process = forks.Process(target=_become, args=(directory, run, words, environment or {}, streams))
        process.start()
        process.join()
        return process.exitcode or 0, streams[1].read_text(), streams[2].read_text()


def _become(
    directory: Path,
    run: Callable[[], None],
    words: Sequence[str],
    environment: Mapping[str, str],
    streams: Sequence[Path],
) -> None:
    for number, (path, flags) in enumerate(zip(streams, (os.O_RDONLY, *2 * [os.O_WRONLY | os.O_CREAT]), strict=True)):
        os.dup2(os.open(path, flags), number)
    sys.stdin = os.fdopen(0)
    programs = os.environ["PATH"]
    os.environ.clear()
    os.environ.update({"PATH": programs, "PYTHONPATH": str(ROOT), **environment})
    os.chdir(directory)
    sys.path.insert(0, str(directory))
    sys.argv = ["tempogram", *words]
    run()
