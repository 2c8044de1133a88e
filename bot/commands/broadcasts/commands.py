"""``tempogram broadcast``: makes, previews and controls broadcasts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tempogram.bot.commands.options import AsJson, Url, given, read_quiet_hours
from tempogram.bot.commands.output import api, ask, show

app = typer.Typer(help="Send one message to many chats, over the API.", no_args_is_help=True)

Id = Annotated[int, typer.Argument(metavar="ID", min=1, help="Of the broadcast.", show_default=False)]
Several = list[str] | None


@app.command()
def create(
    bot: Annotated[str, typer.Argument(metavar="BOT", help="The bot's id.", show_default=False)],
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="With {title}, {language}, {chat_id}.")] = None,
    name: Annotated[str, typer.Option(help="A name to find it by.")] = "broadcast",
    method: Annotated[str | None, typer.Option(help="Instead of TEXT, such as sendPhoto.")] = None,
    params: Annotated[str, typer.Option(help="The method's parameters as JSON.")] = "{}",
    files: Annotated[Several, typer.Option("--file", metavar="NAME=PATH", help="Uploaded once: photo=cat.jpg.")] = None,
    types: Annotated[Several, typer.Option("--type", help="private, group, supergroup or channel.")] = None,
    chats: Annotated[Several, typer.Option("--chat", help="Only this chat.")] = None,
    tags: Annotated[Several, typer.Option("--tag", help="Chats with any of these tags.")] = None,
    without_tags: Annotated[Several, typer.Option("--without-tag", help="Chats with none of these.")] = None,
    languages: Annotated[Several, typer.Option("--language", help="Chats of any of these.")] = None,
    active_days: Annotated[int | None, typer.Option(help="Chats that wrote on one of the last so many days.")] = None,
    quiet_days: Annotated[int | None, typer.Option(help="Chats that have not.")] = None,
    at: Annotated[str | None, typer.Option(help="Of each chat's own day: 10:00.")] = None,
    spread_h: Annotated[float, typer.Option(help="Hours over which the chats are spread.")] = 0,
    quiet_hours: Annotated[str | None, typer.Option(help="Such as 22:00-08:00.")] = None,
    daily_cap: Annotated[int | None, typer.Option(help="Messages a chat gets on a local date.")] = None,
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to say a flag
) -> None:
    """Make a draft; nothing is sent before it is started."""
    selection = {
        "types": types,
        "chats": chats,
        "tags": tags,
        "without_tags": without_tags,
        "languages": languages,
        "active_days": active_days,
        "quiet_days": quiet_days,
    }
    body = {
        "name": name,
        "bot": bot,
        "text": text,
        "method": method,
        "params": _json(params),
        "selection": given(selection),
        "at": at,
        "spread_h": spread_h,
        "quiet_hours": None if quiet_hours is None else read_quiet_hours(quiet_hours),
        "daily_cap": daily_cap,
    }
    body, opened = given(body), _files(files or [])
    made = api(url)
    answer = made.form("/broadcasts", _fields(body), opened) if opened else made.post("/broadcasts", body)
    _print(answer, as_json=as_json)


@app.command()
def preview(broadcast_id: Id, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Say to how many it would go, to whom not and why, and when the last one arrives."""
    from tempogram.bot.commands.broadcasts.shown import forecast

    show(api(url).post(f"/broadcasts/{broadcast_id}/preview", {}), as_json, forecast)


@app.command()
def start(
    broadcast_id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Begin to send a draft, after a question that says to how many."""
    made = api(url)
    if not yes:
        found = made.post(f"/broadcasts/{broadcast_id}/preview", {})
        ask(f"Send it to {found['recipients']:,} chats?")
    _print(made.post(f"/broadcasts/{broadcast_id}/start", {}), as_json=as_json)


@app.command(name="show")
def show_one(broadcast_id: Id, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show how far it is, and what came of it."""
    _print(api(url).get(f"/broadcasts/{broadcast_id}"), as_json=as_json)


@app.command(name="list")
def list_all(url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show the last 20, newest first."""
    from tempogram.bot.commands.broadcasts.shown import several

    show(api(url).get("/broadcasts"), as_json, lambda answer: several(answer["broadcasts"]))


@app.command()
def pause(broadcast_id: Id, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Send nothing more of it until it is resumed."""
    _do("pause", broadcast_id, url, as_json=as_json)


@app.command()
def resume(broadcast_id: Id, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Go on with a broadcast that is paused."""
    _do("resume", broadcast_id, url, as_json=as_json)


@app.command()
def cancel(broadcast_id: Id, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """End a broadcast for good."""
    _do("cancel", broadcast_id, url, as_json=as_json)


@app.command()
def retry(broadcast_id: Id, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Send again to those that failed, once it is done."""
    _do("retry", broadcast_id, url, as_json=as_json)


def _do(what: str, broadcast_id: int, url: str | None, *, as_json: bool) -> None:
    _print(api(url).post(f"/broadcasts/{broadcast_id}/{what}", {}), as_json=as_json)


def _print(answer: Any, *, as_json: bool) -> None:
    from tempogram.bot.commands.broadcasts.shown import several

    show(answer, as_json, lambda one: several([one]))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise typer.BadParameter(f'{text!r} is no JSON; write it like {{"photo": "https://…"}}') from None


def _files(named: Sequence[str]) -> dict[str, Path]:
    """Return where each file is, by the parameter or the ``attach://`` that it is for."""
    files: dict[str, Path] = {}
    for each in named:
        name, _, path = each.partition("=")
        if not name or not path:
            raise typer.BadParameter(f"{each!r} should be NAME=PATH, such as photo=cat.jpg")
        if name in files:
            raise typer.BadParameter(f"there are two files named {name}")
        if not Path(path).is_file():
            raise typer.BadParameter(f"there is no file {path}")
        files[name] = Path(path)
    return files


def _fields(body: Mapping[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
