"""``tempogram demo`` as a user starts it: to the end, stopped on the way, and with an engine that dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests import ROOT

SHORT = """
import sys
from tempogram.bot.commands.cli import main
from tempogram.bot.demo import settings

full = settings.DemoSettings
settings.DemoSettings = lambda: full(
    bulk=60, flood=24, urgent=4, questions=4, cast=20, watching=4,
    every_s=0.8, kill_at_s=1.5, group_window_s=2, urgent_within_s=5,
)
sys.argv = ["tempogram", "demo"]
main()
"""
"""The same command with smaller amounts. The wait of urgent messages is not judged on a busy machine."""

STOPPED = "tempogram: the demo was stopped, and no process of it is left\n"


class Demo:
    """The command in a session of its own, so that whatever it leaves behind is found."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self._environment = environment
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        own = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.temporary),
            "COLUMNS": "120",
        }
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SHORT),
            env=own | self._environment,
            cwd=self.directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def said(self, text: str) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while text not in (line := (await self.process.stdout.readline()).decode()):
                assert line, "the demo ended without that line"

    def interrupt(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def finished(self) -> tuple[int, str, str]:
        assert self.process is not None
        async with asyncio.timeout(90):
            output, errors = await self.process.communicate()
        return self.process.returncode or 0, output.decode(), errors.decode()

    def children(self) -> list[tuple[int, str]]:
        """Return the processes of its session besides itself, each with its command."""
        assert self.process is not None
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                pid, command = int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if os.getsid(pid) == self.process.pid != pid and command:
                    found.append((pid, command))
            except OSError:
                continue  # it has ended meanwhile
        return found

    async def child(self, command: str) -> int:
        """Wait for a process of this command, and return its id."""
        for _ in range(600):
            for pid, said in self.children():
                if command in said:
                    return pid
            await asyncio.sleep(0.05)
        raise AssertionError(f"no {command} among {self.children()}")

    def nothing_is_left(self) -> bool:
        return self.children() == [] and list(self.temporary.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked up in /proc")
class TestDemo:
    async def test_the_demo_keeps_its_promises_over_a_kill_and_leaves_the_users_files_alone(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_text("BOT_TOKENS=nonsense\nTELEGRAM_GROUP_LIMIT=1\n")
        demo = Demo(
            tmp_path,
            BOT_TOKENS="7:a-token-of-the-users",
            DATABASE_URL="postgresql+asyncpg://user@127.0.0.1:1/none",
            DATA_DIR=str(tmp_path / "data-of-the-users"),
            PORT="1",
            PUBLIC_URL="https://bots.example.org",
            TELEGRAM_GLOBAL_LIMIT="1",
        )

        await demo.start()
        status, output, errors = await demo.finished()

        assert (status, errors) == (0, ""), output
        assert "kill -9: the engine is gone" in output
        assert "nothing is lost: 115 of 115 messages arrived" in output
        assert "Every promise held" in output
        assert "\x1b" not in output
        assert not (tmp_path / "data-of-the-users").exists()
        assert demo.nothing_is_left()

    async def test_ctrl_c_ends_the_demo_with_one_sentence_and_leaves_no_process(self, tmp_path: Path) -> None:
        demo = Demo(tmp_path)
        await demo.start()
        await demo.said("are submitted")

        demo.interrupt(signal.SIGINT)
        status, _, errors = await demo.finished()

        assert (status, errors) == (130, STOPPED)
        assert demo.nothing_is_left()

    async def test_a_signal_during_the_start_leaves_no_process(self, tmp_path: Path) -> None:
        demo = Demo(tmp_path)
        await demo.start()
        await demo.child("-m tempogram run")

        demo.interrupt(signal.SIGTERM)
        status, _, errors = await demo.finished()

        assert (status, errors) == (130, STOPPED)
        assert demo.nothing_is_left()

    async def test_an_engine_that_dies_ends_the_demo_with_one_sentence_and_leaves_no_process(
        self, tmp_path: Path
    ) -> None:
        demo = Demo(tmp_path)
        await demo.start()
        await demo.said("are submitted")

        os.kill(await demo.child("-m tempogram run"), signal.SIGKILL)
        status, _, errors = await demo.finished()

        assert status == 2
        assert errors == "tempogram: the demo failed: the engine ended by itself, with status -9\n"
        assert demo.nothing_is_left()
