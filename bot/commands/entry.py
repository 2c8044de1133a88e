"""The command ``tempogram``. On a terminal it says at once that it starts, as its modules take seconds to import."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tempogram.bot.terminal import steps
from tempogram.bot.terminal.steps import IMPORTING, step

ROLES = {"run", "api", "worker", "scheduler"}


def main() -> None:
    """Run the command line; imports nothing heavy before its first line."""
    words = sys.argv[1:]
    if not starts(words):
        from tempogram.bot.commands.cli import main as command

        command()
        return
    if sys.stderr.isatty() and os.environ.get("LOG_FORMAT") != "json":
        say("Tempogram is starting …\n")
        steps.show(say)
    with step(IMPORTING):
        from tempogram.bot.commands.roles import main as run_role
    run_role(*words)


def say(line: str) -> None:
    """Write to standard error as it is then: later the screen stands in for it."""
    sys.stderr.write(line)
    sys.stderr.flush()


def starts(words: Sequence[str]) -> bool:
    """Tell whether a command starts a process that stays.

    >>> starts(["run"]), starts(["run", "--help"]), starts(["queue", "stats"])
    (True, False, False)
    """
    return len(words) == 1 and words[0] in ROLES
