"""``tempogram tasks``: shows what is done at its time, and runs, pauses and changes it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from tempogram.bot.commands.options import AsJson, Url
from tempogram.bot.commands.output import api
from tempogram.bot.commands.output import show as print_answer

app = typer.Typer(help="Show all tasks, over the API.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A task, such as twitterPoller.", show_default=False)]

DECLARED = "declared"


@app.callback()
def tasks(context: typer.Context, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to say a flag
    """Show every task: how it is, when it ran last and when it runs next."""
    if context.invoked_subcommand is not None:
        if url is not None or as_json:
            raise typer.BadParameter("write --url and --json at the end")
        return
    from tempogram.bot.commands.task_tables import all_tasks

    print_answer(api(url).get("/tasks"), as_json, all_tasks)


@app.command()
def history(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show the last 100 runs of a task, newest first."""
    from tempogram.bot.commands.task_tables import history as table

    print_answer(api(url).get(_path(name)), as_json, table)


@app.command()
def run(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Run a task once more, within some seconds; also one that is paused."""
    _print_task(api(url).post(f"{_path(name)}/run", {}), as_json=as_json)


@app.command()
def pause(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Let a task run no more until it is resumed; a run that is under way goes on."""
    _print_task(api(url).patch(_path(name), {"is_paused": True}), as_json=as_json)


@app.command()
def resume(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Let a task run again when it is due the next time, whether failures or a person paused it."""
    _print_task(api(url).patch(_path(name), {"is_paused": False}), as_json=as_json)


@app.command()
def interval(
    name: Name,
    seconds: Annotated[str, typer.Argument(metavar="SECONDS|declared", show_default=False)],
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Run a task at another interval, for all processes and for good, or at the declared one again."""
    _print_task(api(url).patch(_path(name), {"interval_s": _seconds(seconds)}), as_json=as_json)


@app.command()
def forget(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Delete a task that the program has no more, with its history."""
    print_answer(api(url).delete(_path(name)), as_json, lambda task: f"{task['name']} is forgotten.")


def _seconds(text: str) -> float | None:
    """Return an interval; None: as it is declared.

    >>> _seconds("90"), _seconds("declared")
    (90.0, None)
    """
    if text == DECLARED:
        return None
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no interval; write seconds, or {DECLARED}") from None


def _path(name: str) -> str:
    return f"/tasks/{quote(name, safe='')}"


def _print_task(answer: Any, *, as_json: bool) -> None:
    from tempogram.bot.commands.task_tables import one_task

    print_answer(answer, as_json, one_task)
