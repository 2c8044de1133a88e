"""The first minute on a terminal: what is said, and when."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tempogram.bot.demo.process import free_port
from tempogram.simulator.sync_client import Remote
from tests import ROOT
from tests.bot.terminal.emulator import Emulator
from tests.fork_server import start

WITHIN_S = 60.0
USUAL = 80
"""Columns; a terminal of this width shows a start with all its imports."""


class OnTerminal:
    """A command on a pseudo terminal, and what a person sees of it."""

    def __init__(self, columns: int) -> None:
        self.emulator = Emulator(columns, 24)
        self.text = ""
        self.process: asyncio.subprocess.Process | None = None

    def read(self, descriptor: int) -> None:
        try:
            text = os.read(descriptor, 65_536).decode(errors="replace")
        except OSError:  # the other end is closed
            asyncio.get_running_loop().remove_reader(descriptor)
            return
        self.text += text
        self.emulator.write(text)

    async def until(self, holds: Callable[[], bool]) -> None:
        until_s = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < until_s, self.text
            await asyncio.sleep(0.02)

    async def end(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()


@asynccontextmanager
async def on_terminal(
    directory: Path, *words: str, columns: int = 80, forked: bool = True, **environment: str
) -> AsyncIterator[OnTerminal]:
    """Run a command on a pseudo terminal until the block ends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = OnTerminal(columns)
    asyncio.get_running_loop().add_reader(ours, shown.read, ours)
    usual = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PORT": str(free_port())}
    with os.fdopen(theirs, "r+b", buffering=0) as terminal:
        shown.process = await start(
            "tempogram" if forked else None,
            *("tempogram", *words),
            env=usual | environment,
            cwd=directory,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
    try:
        yield shown
    finally:
        await shown.end()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


LIGHT = """
import sys
sys.argv = ["tempogram", "run"]
sys.stderr.isatty = lambda: True
import builtins
known = set(sys.modules)
written = []
sys.stderr.write = lambda text: written.append((text, set(sys.modules) - known))
class Stop(BaseException): pass
def stop(name, *rest, original=builtins.__import__, **more):
    if name in {"structlog", "tempogram.bot.commands.roles"}: raise Stop
    return original(name, *rest, **more)
builtins.__import__ = stop
from tempogram.bot.commands.entry import main
try: main()
except Stop: pass
(line, modules), = written
print(line.strip(), len([each for each in modules if each.split(".")[0] in {"typer", "aiogram", "pydantic", "rich"}]))
"""


async def test_the_first_line_waits_for_no_heavy_module() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LIGHT),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()

    assert output.decode() == "Tempogram is starting … 0\n"


@pytest.mark.parametrize("columns", [40, 80, 120])
async def test_a_start_on_a_terminal_shows_the_conversation_above_the_address(tmp_path: Path, columns: int) -> None:
    async with on_terminal(tmp_path, "run", columns=columns, forked=columns != USUAL) as shown:
        await shown.until(lambda: len(re.findall(r"→.*sent, [0-9.]+ s", shown.text)) >= 3)
        rows, begun = shown.emulator.shown, shown.emulator.everything[0]
        status = await shown.end()

    assert begun == "Tempogram is starting …"
    assert rows[-2].startswith("Tempogram http://127.0.0.1:")
    assert rows[-1].startswith("  simulated Telegram http://127.0.0.1:"[: columns - 2])
    assert any(re.fullmatch(r"sim_\S+( and \d more)? ← .+", row) for row in shown.emulator.everything)
    assert all(len(row) <= columns for row in rows)
    assert '"event"' not in shown.text
    assert "\x1b[" in shown.text
    assert status == 0
    assert "Tempogram http" not in "".join(shown.emulator.shown)


async def test_json_lines_may_be_chosen_on_a_terminal(tmp_path: Path) -> None:
    async with on_terminal(tmp_path, "run", LOG_FORMAT="json") as shown:
        await shown.until(lambda: '"event": "started"' in shown.text)

    assert shown.text.startswith("{")
    assert "←" not in shown.text


async def test_a_level_above_info_leaves_the_messages_out(tmp_path: Path) -> None:
    async with on_terminal(tmp_path, "run", LOG_LEVEL="WARNING") as shown:
        await shown.until(lambda: "  simulated Telegram" in shown.text)
        (url,) = set(re.findall(r"simulated Telegram (http://[0-9.:]+)", shown.text))
        await shown.until(lambda: Remote(url).report().accepted >= 3)
        pinned = shown.emulator.shown[-2]

    assert "←" not in shown.text
    assert pinned.startswith("Tempogram http://127.0.0.1:")
