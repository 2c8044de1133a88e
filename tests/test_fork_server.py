"""A process that a server forks is one like any other."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests import ROOT
from tests.fork_server import ForkedProcess, start

SAYS = """
import atexit, os, sys
atexit.register(print, "ended in order")
print(*sys.argv[1:], os.getcwd(), sorted(os.environ), __name__, sys.stdin.read())
print("trouble", file=sys.stderr)
sys.exit(7)
"""
SLEEPS = "import time; open('began', 'w').close(); time.sleep(600)"


async def started(
    directory: Path, code: str, *words: str, kind: str | None = "tempogram"
) -> asyncio.subprocess.Process:
    (directory / "own_code.py").write_text(code)
    (directory / "input").write_text("from a file")
    with (
        (directory / "input").open("rb") as stdin,
        (directory / "output").open("wb") as stdout,
        (directory / "errors").open("wb") as stderr,
    ):
        return await start(
            kind,
            "own_code",
            *words,
            env={"PYTHONPATH": str(ROOT), "LC_CTYPE": "C.UTF-8"},
            cwd=directory,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )


@pytest.mark.parametrize("kind", ["tempogram", None])
async def test_a_module_has_its_arguments_environment_folder_channels_and_status(
    tmp_path: Path, kind: str | None
) -> None:
    process = await started(tmp_path, SAYS, "a", "b c", kind=kind)

    assert await process.wait() == process.returncode == 7
    assert (tmp_path / "output").read_text() == (
        f"a b c {tmp_path} ['LC_CTYPE', 'PYTHONPATH'] __main__ from a file\nended in order\n"
    )
    assert (tmp_path / "errors").read_text() == "trouble\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    process = await started(tmp_path, SLEEPS)
    assert process.returncode is None
    process.send_signal(number)

    assert await process.wait() == -number
    process.kill()  # of one that has ended changes nothing
    assert process.returncode == -number


async def test_ctrl_c_reaches_it_as_it_reaches_a_program(tmp_path: Path) -> None:
    process = await started(tmp_path, SLEEPS)
    async with asyncio.timeout(60):
        while not (tmp_path / "began").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)

    assert await process.wait() == -signal.SIGINT
    assert "KeyboardInterrupt" in (tmp_path / "errors").read_text()


async def test_what_a_server_has_imported_is_there(tmp_path: Path) -> None:
    process = await started(tmp_path, "import sys; sys.exit('tempogram.bot.runtime.main' in sys.modules)")

    assert isinstance(process, ForkedProcess)
    assert await process.wait() == 1
