"""Chooses between the conversation and log lines, and opens the one or the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, TextIO, cast

from tempogram.bot.config import logging
from tempogram.bot.config.logging import LogFormat
from tempogram.bot.config.settings import Settings
from tempogram.bot.terminal.steps import IMPORTING, step
from tempogram.engine.ports import SystemClock

if TYPE_CHECKING:
    from tempogram.bot.terminal.conversation import Conversation


@contextmanager
def opened(settings: Settings) -> Iterator[Conversation | None]:
    """Configure the log, and show the conversation until the block ends, if it was chosen."""
    chosen, own = chosen_format(settings.log_format), [name.partition(".")[0] for name in settings.behaviours]
    if chosen is not LogFormat.CONVERSATION:
        logging.configure(settings.log_level, chosen, own=own)
        yield None
        return
    with step(IMPORTING):  # of aiogram, too
        from tempogram.bot.terminal.conversation import Conversation
        from tempogram.bot.terminal.printed import LogLines, Printed
        from tempogram.bot.terminal.screen import Screen, Terminal

    clock, output, errors = SystemClock(), sys.stdout, sys.stderr
    screen = Screen(Terminal.of(errors.fileno()), clock=clock)
    conversation = Conversation(screen, clock=clock)
    with redirect_stdout(Printed(screen, output)), redirect_stderr(Printed(screen, errors)):
        logging.configure(
            settings.log_level,
            chosen,
            stream=cast("TextIO", LogLines(screen, errors)),
            shows=conversation.shows,
            own=own,
        )
        screen.start()
        try:
            yield conversation
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            screen.close()


def chosen_format(log_format: LogFormat) -> LogFormat:
    """Return the conversation for ``AUTO`` on a terminal."""
    is_terminal = sys.stderr.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return LogFormat.CONVERSATION if log_format is LogFormat.AUTO and is_terminal else log_format
