"""Runs one role until it ends. Without typer, which a process that stays would only keep in memory."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import uvloop

from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import load
from tempogram.bot.terminal.opening import opened
from tempogram.bot.terminal.steps import IMPORTING, step
from tempogram.engine.model.errors import EngineError

Result = TypeVar("Result")


def main(command: str) -> None:
    """Run a role by the name of its command; an error is one sentence and status 2."""
    try:
        run_role(ProcessRole[command.upper()])
    except EngineError as error:
        fail(error)


def run_role(role: ProcessRole) -> None:
    """Run a role; its modules take a while to import, so settings are checked before."""
    settings = load()
    gc.disable()  # until ``GcTuning`` enables it: importing makes many objects and hardly any garbage
    check(role, settings)
    with opened(settings) as conversation:
        with step(IMPORTING):
            from tempogram.bot.runtime.main import run
        until_done(run(settings, role, conversation))


def until_done(work: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def fail(error: EngineError) -> NoReturn:
    sys.stderr.write(f"tempogram: {error}\n")
    raise SystemExit(2)
