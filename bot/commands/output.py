"""What several commands ask of the API, print, and ask of a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from getpass import getpass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tempogram.bot.commands.client import Client


def api(url: str | None) -> Client:
    """Return a client of the API at an address, or of the one that the settings start."""
    from tempogram.bot.commands.client import client
    from tempogram.bot.config.settings import load

    return client(url, load())


def show(answer: Any, as_json: bool, shown: Callable[[Any], Table | str]) -> None:  # noqa: FBT001
    """Print an answer in words or as a table; or as JSON, and nothing else."""
    if as_json:
        typer.echo(json.dumps(answer))
        return
    from rich.console import Console

    words = shown(answer)
    Console(highlight=False).print(words, soft_wrap=isinstance(words, str))  # a line that was broken cannot be copied


def ask(question: str) -> None:
    """Ask for confirmation on standard error, because a program may read the standard output."""
    typer.echo(f"{question} [y/N] ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Abort


def read_secret(what: str) -> str:
    """Read a secret from a person, who does not see it, or a line of standard input: no list of processes shows it."""
    return (getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
