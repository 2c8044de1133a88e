"""``tempogram services``: shows what is called besides Telegram, and changes, holds and stops it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer
from typer.core import TyperGroup

from tempogram.bot.commands.options import AsJson, Url
from tempogram.bot.commands.output import api
from tempogram.bot.commands.output import show as print_answer

WATCHED_CALLS = 10
"""Waiting calls that are shown of a service that is watched."""


class ByName(TyperGroup):
    """Takes what is no command for the name of a service, which is shown."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


app = typer.Typer(
    cls=ByName,
    help="Show what is called besides Telegram, over the API; with a NAME one service.",
    invoke_without_command=True,
    subcommand_metavar="[NAME | COMMAND [ARGS]...]",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A service, such as twilio.", show_default=False)]
Named = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A service, or an operation, such as twilio:sms.", show_default=False),
]


@app.callback()
def services(context: typer.Context, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to say a flag
    """Show every service with what is used and left of its limits."""
    if context.invoked_subcommand is not None:
        if url is not None or as_json:
            raise typer.BadParameter("write --url and --json at the end")
        return
    from tempogram.bot.commands.services.tables import all_services

    print_answer(api(url).get("/services"), as_json, all_services)


@app.command()
def show(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show one service: what is allowed, what is used of it, holds and breakers."""
    _print_service(api(url).get(_path(name)), as_json=as_json)


@app.command()
def calls(
    name: Name,
    url: Url = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, those that go first first.")] = 50,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """List calls of a service that wait, with the reasons."""
    from tempogram.bot.commands.services.tables import waiting_calls

    print_answer(api(url).get(f"{_path(name)}/calls", [("limit", str(limit))]), as_json, waiting_calls)


@app.command()
def watch(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A service; none: all.", show_default=False)
    ] = None,
    url: Url = None,
    interval: Annotated[float, typer.Option(min=0.2, max=3_600, help="Seconds from one look to the next.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each look, and no table.")] = False,  # noqa: FBT002
) -> None:
    """Show tokens, lines, holds and breakers, each second anew, until Ctrl-C; with a NAME the calls that wait, too."""
    from rich.console import Console

    from tempogram.bot.commands.services.tables import all_services, service_with_calls
    from tempogram.bot.commands.services.watch import watch as watch_until_interrupted
    from tempogram.bot.commands.services.watch import watch_as_json

    client = api(url)

    def ask() -> Any:
        if name is None:
            return client.get("/services")
        calls = client.get(f"{_path(name)}/calls", [("limit", str(WATCHED_CALLS))])
        return client.get(_path(name)) | calls

    def look() -> Any:
        answer = ask()
        return all_services(answer) if name is None else service_with_calls(answer)

    if as_json:
        watch_as_json(ask, every_s=interval)
    else:
        watch_until_interrupted(look, Console(highlight=False), every_s=interval)


@app.command()
def explain(
    call_id: Annotated[str, typer.Argument(metavar="CALL_ID", help="As calls lists it.", show_default=False)],
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Explain why a call waits: at which limiter, behind how many, and until when at least."""
    from tempogram.bot.commands.services.tables import in_words

    print_answer(api(url).get(f"/services/calls/{quote(call_id, safe='')}/explain"), as_json, in_words)


@app.command()
def change(
    name: Name,
    changes: Annotated[list[str], typer.Argument(metavar="WORD=VALUE...", help="As in services.toml.")],
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Change what is allowed of a service, for all processes and for good: change twilio operations.sms.count=2."""
    _print_service(api(url).patch(_path(name), words_of(changes)), as_json=as_json)


@app.command()
def reset(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Return to what is shipped, in services.toml and in the environment."""
    _print_service(api(url).delete(f"{_path(name)}/changes"), as_json=as_json)


@app.command()
def forget(name: Name, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Forget the answers that are kept of a service; the next calls are made."""
    _print_service(api(url).delete(f"{_path(name)}/cache"), as_json=as_json)


@app.command()
def hold(
    name: Named,
    seconds: Annotated[float, typer.Argument(help="For how long.", show_default=False)],
    url: Url = None,
    reason: Annotated[str, typer.Option(help="Is shown with the hold.")] = "by hand",
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Call nothing of a service or an operation for a while; what is called waits."""
    wanted = {"seconds": seconds, "reason": reason}
    _print_service(api(url).put(f"{_path(name)}/hold", wanted), as_json=as_json)


@app.command()
def release(name: Named, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """End holds, also those that the service asked for."""
    _print_service(api(url).delete(f"{_path(name)}/hold"), as_json=as_json)


@app.command("open")
def open_breaker(name: Named, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Refuse all calls of a service or an operation until it is closed."""
    _print_service(api(url).put(f"{_path(name)}/breaker", {"state": "open"}), as_json=as_json)


@app.command("close")
def close_breaker(name: Named, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Let calls of a service or an operation be made again, whether failures or a person opened its breaker."""
    _print_service(api(url).put(f"{_path(name)}/breaker", {"state": "closed"}), as_json=as_json)


def words_of(changes: Sequence[str]) -> dict[str, Any]:
    """Return changes as a table of ``services.toml``; a word as a value needs no quotes.

    >>> words_of(["operations.sms.count=2", "operations.sms.breaker=open", "breaker.failure_rate = 0.5"])
    {'operations': {'sms': {'count': 2, 'breaker': 'open'}}, 'breaker': {'failure_rate': 0.5}}
    """
    import tomllib

    try:
        return tomllib.loads("\n".join(map(_line, changes)))
    except tomllib.TOMLDecodeError as error:
        raise typer.BadParameter(f"the changes cannot be read ({error}); write operations.sms.count=2") from None


def _line(change: str) -> str:
    import tomllib

    word, sign, value = change.partition("=")
    if not sign or "\n" in change:
        raise typer.BadParameter(f"{change!r} is no change; write one as in operations.sms.count=2")
    try:
        tomllib.loads(change)
    except tomllib.TOMLDecodeError:
        return f'{word}="{value.strip()}"'
    return change


def _path(name: str) -> str:
    """Return the path of a service, or of an operation.

    >>> _path("twilio"), _path("twilio:sms")
    ('/services/twilio', '/services/twilio/operations/sms')
    """
    service, sign, operation = name.partition(":")
    of_operation = f"/operations/{quote(operation, safe='')}" if sign else ""
    return f"/services/{quote(service, safe='')}{of_operation}"


def _print_service(answer: Any, *, as_json: bool) -> None:
    from tempogram.bot.commands.services.tables import one_service

    print_answer(answer, as_json, one_service)
