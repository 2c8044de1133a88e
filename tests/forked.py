"""Runs code in a process of its own, without the second of importing that each takes: a server has imported, and forks.

Where the start itself is what is tested, a process is started as a user starts it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import ROOT
from tests.end_to_end.program import ADMIN_TOKEN

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(
    [__name__, "tempogram.bot.commands.cli", "tempogram.bot.commands.client", "tempogram.bot.behaviours.own"]
)


async def type_in(directory: Path, words: Sequence[str], *, answer: str = "", **changes: str) -> tuple[int, str, str]:
    """Run a command of ``tempogram``, and return its status and what it printed on both channels."""
    environment = {"ADMIN_TOKEN": ADMIN_TOKEN, "COLUMNS": "200"} | changes
    return await asyncio.to_thread(run_forked, directory, _command, words, answer=answer, environment=environment)


def run_forked(
    directory: Path,
    run: Callable[[], None],
    words: Sequence[str] = (),
    *,
    answer: str = "",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run a function of a module in that directory, with these arguments, as ``type_in`` runs a command."""
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


def _command() -> None:
    from tempogram.bot.commands.entry import main

    main()
