"""The installed wheel in a project that has a ``bot/``, an ``api/``, an ``engine/`` and a ``storage/`` of its own.

The whole demo takes 35 s, so only its start is tested here. To see all of it: install the wheel, and run
``tempogram demo`` in such a folder.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import TOKEN, program
from tests.end_to_end.test_first_start import has_said
from tests.project.installs import libraries, python

OWN = ("api", "bot", "engine", "simulator", "storage")

HANDLERS = """
from aiogram import Router

from engine import MINE

router = Router()

@router.message()
async def greet(message):
    return message.answer(f"{MINE} and hello")
"""

TESTS = """
import sys

import api, bot, engine, simulator, storage
import bot.handlers

def test_the_modules_are_the_projects_own():
    assert [module.MINE for module in (api, bot, engine, simulator, storage)] == ["mine"] * 5

def test_the_plugin_imports_only_itself():
    ours = {name for name in sys.modules if name.partition(".")[0] == "tempogram"}
    assert ours == {"tempogram", "tempogram.simulator", "tempogram.simulator.pytest_plugin"}

def test_the_plugins_fixture_works(telegram):
    assert telegram.report().calls == 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in OWN:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = 'mine'\n")
    (tmp_path / "bot" / "handlers.py").write_text(HANDLERS)
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


RUN = """
import site, sys
import pytest
site.addsitedir(sys.argv[1])
others = ("asyncio", "schemathesis", "hypothesispytest", "xdist")
sys.exit(pytest.main(["-q", *(f"-pno:{other}" for other in others)]))
"""
"""pytest with one install of ours; with ``-S`` before it, Python knows of no other."""

EDITABLE = "    ignore:Module already imported so cannot be rewritten; _editable_impl_tempogram\n"
"""pytest marks the modules of a plugin's distribution for rewriting; an editable install's hook is imported by then."""


@pytest.mark.parametrize(
    ("install", "ignored"), [("installed", ""), ("installed_editable", EDITABLE)], ids=["wheel", "editable"]
)
def test_the_projects_own_tests_run(project: Path, request: pytest.FixtureRequest, install: str, ignored: str) -> None:
    (project / "pytest.ini").write_text(f"[pytest]\npythonpath = .\nfilterwarnings =\n    error\n{ignored}")
    target = str(request.getfixturevalue(install))

    run = python("-S", "-c", RUN, target, cwd=project, PYTHONPATH=f"{target}{os.pathsep}{libraries()}")

    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout


async def test_the_program_runs_with_the_projects_handlers(project: Path, installed: Path) -> None:
    async with (
        running_simulator() as telegram,
        program(project, telegram.url, PYTHONPATH=str(installed), BEHAVIOURS="bot.handlers") as tempogram,
    ):
        (bot_id,) = await telegram.add_bots(TOKEN)
        await telegram.say(await telegram.add_user("Anna"), "hello", bot=bot_id)

        await tempogram.until(lambda: has_said(telegram, "mine and hello"), within_s=20)


async def test_the_demo_starts(project: Path, installed: Path) -> None:
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, str(installed / "bin" / "tempogram"), "demo"),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "TMPDIR": str(project)},
        cwd=project,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert demo.stdout is not None

    async with asyncio.timeout(60):
        while b"ready after" not in (line := await demo.stdout.readline()):
            assert line, (await demo.communicate())[1].decode()
        demo.send_signal(signal.SIGINT)
        _, errors = await demo.communicate()

    assert errors.decode().startswith("tempogram: the demo was stopped")
