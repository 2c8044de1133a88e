"""Runs one role until it ends. Without typer, which a process that stays would only keep in memory."""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
import uvloop

from tempogram.api.core.redaction import without_tokens
from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import load
from tempogram.bot.terminal.opening import opened
from tempogram.bot.terminal.steps import IMPORTING, step
from tempogram.engine.model.errors import EngineError

log = structlog.get_logger()

Result = TypeVar("Result")

LEFT_OVER_S = 2.0
"""How long the end waits for what is cancelled by it. untuned: closing connections takes less."""


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
    """Run work to its end. What it has begun besides is cancelled then; what ignores that holds the end up no longer.

    asyncio itself would wait for ever for a task that catches ``CancelledError`` and goes on.
    """
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        return runner.run(work)
    finally:
        if left := runner.get_loop().run_until_complete(_left_over()):
            log.warning("end_not_waited_for", tasks=left)
        else:
            runner.close()


async def _left_over() -> list[str]:
    """Cancel everything else in this loop, and return the names of what goes on."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    if not others:
        return []
    _, pending = await asyncio.wait(others, timeout=LEFT_OVER_S)
    return sorted(each.get_name() for each in pending)


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
