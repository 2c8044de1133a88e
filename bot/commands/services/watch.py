"""A table that is drawn anew each second, or a line of JSON for each, until it is interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from tempogram.bot.commands.client import NotNow

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Look = Callable[[], "RenderableType"]


def watch(look: Look, console: Console, *, every_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show what ``look`` returns, and again after a pause, until Ctrl-C.

    While the API gives no answer the last table stays, and says so. Not on a terminal it is printed once.

    Args:
        look: Asks the API; raises ``NotNow`` if there is no answer.
        console: Where it is shown.
        every_s: Seconds from one answer to the next question.
        sleep: For tests.

    Raises:
        CallFailed: The API refuses, or does not answer the first time.
    """
    if not console.is_terminal:
        console.print(look())
        return
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    shown = look()
    try:
        with Live(shown, console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
            while True:
                sleep(every_s)
                try:
                    shown = look()
                    live.update(shown, refresh=True)
                except NotNow as error:
                    since = time.strftime("%H:%M:%S")
                    live.update(Group(shown, Text(f"{since}: {error}", style="red")), refresh=True)
    except KeyboardInterrupt:
        return


def watch_as_json(ask: Callable[[], object], *, every_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Print what ``ask`` returns as a line of JSON, and again after a pause, until Ctrl-C.

    While the API gives no answer there is no line; standard error says so once.

    Args:
        ask: Asks the API; raises ``NotNow`` if there is no answer.
        every_s: Seconds from one answer to the next question.
        sleep: For tests.

    Raises:
        CallFailed: The API refuses, or does not answer the first time.
    """
    typer.echo(json.dumps(ask()))
    is_away = False
    try:
        while True:
            sleep(every_s)
            try:
                typer.echo(json.dumps(ask()))
                is_away = False
            except NotNow as error:
                if not is_away:
                    typer.echo(str(error), err=True)
                is_away = True
    except KeyboardInterrupt:
        return
