"""Runs one role until it ends. Without typer, which a process that stays would only keep in memory."""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvloop

from tempogram.api.core.redaction import without_tokens
from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import load
from tempogram.bot.terminal.opening import opened
from tempogram.bot.terminal.steps import IMPORTING, step
from tempogram.engine.model.errors import EngineError

Result = TypeVar("Result")


def main(command: str) -> None:
    """Run a role by the name of its command; an error is one sentence and status 2."""
    with reported_errors():
        run_role(ProcessRole[command.upper()])


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


@contextmanager
def reported_errors() -> Iterator[None]:
    """End the process by an error: ours is one sentence and status 2, a foreign one a traceback and status 1."""
    try:
        yield
    except EngineError as error:
        sys.stderr.write(f"tempogram: {without_tokens(str(error))}\n")
        raise SystemExit(2) from None
    except Exception as error:  # noqa: BLE001 - the text of a foreign error may hold the URL of a call, and its token
        sys.stderr.write(without_tokens("".join(traceback.format_exception(error))))
        raise SystemExit(1) from None
