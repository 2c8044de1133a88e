"""``tempogram chats``: shows, changes and imports what is known of chats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from tempogram.bot.commands.options import AsJson, Url, read_quiet_hours
from tempogram.bot.commands.output import api, ask
from tempogram.bot.commands.output import show as print_answer

if TYPE_CHECKING:
    from rich.table import Table

    from tempogram.bot.commands.client import Client, Params

app = typer.Typer(help="Show, change and import what is known of a bot's chats, over the API.", no_args_is_help=True)

PAGE = 1_000
"""Chats that the API returns at once."""

NONE = "none"

END = b'{"end":true,'
"""How the last line of an export begins."""

Bot = Annotated[int, typer.Argument(metavar="BOT", min=1, help="The bot's id.", show_default=False)]
Chat = Annotated[str, typer.Argument(metavar="CHAT", help="The chat's id or its @name.", show_default=False)]


@app.command("list")
def list_chats(
    bot: Bot,
    tag: Annotated[str | None, typer.Option(help="Only chats that have it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    after: Annotated[str | None, typer.Option(help="Only those after this id.")] = None,
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to say a flag
) -> None:
    """List chats, in the order of their ids as texts."""
    print_answer(_pages(api(url), bot, tag, after, limit), as_json, _table)


@app.command()
def show(bot: Bot, chat: Chat, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show what is known of a chat. Write -- before the id of a group, which is negative."""
    print_answer(api(url).get(_path(bot, chat)), as_json, _one)


@app.command("set")
def set_chat(
    bot: Bot,
    chat: Chat,
    time_zone: Annotated[str | None, typer.Option(help="Such as Europe/Berlin; none: not known.")] = None,
    language: Annotated[str | None, typer.Option(help="Such as de; none: not known.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="All that it has from now on; none: it has none.")] = None,
    opted_out: Annotated[
        bool | None, typer.Option("--opted-out/--opted-in", help="May the bot write by itself?")
    ] = None,
    quiet_hours: Annotated[str | None, typer.Option(help="Such as 22:00-08:00; none: those of a campaign.")] = None,
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Change what is known of a chat; what is not given stays. Write -- before the id of a group."""
    given = {
        "time_zone": _or_none(time_zone),
        "language": _or_none(language),
        "tags": None if tag is None else [each for each in tag if each != NONE],
        "opted_out": opted_out,
        "quiet_hours": None if quiet_hours in {None, NONE} else read_quiet_hours(quiet_hours, other=NONE),
    }
    cleared = {"time_zone": time_zone, "language": language, "quiet_hours": quiet_hours}
    said = {name: value for name, value in given.items() if value is not None or cleared.get(name) == NONE}
    print_answer(api(url).patch(_path(bot, chat), said), as_json, _one)


@app.command("import")
def import_chats(
    bot: Bot,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV with a header, or JSON lines; - reads the input.", show_default=False),
    ],
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Store a list of any size; wrong lines are named and left out, and the status is 1 if there are some."""
    from tempogram.bot.commands.audience.file_import import import_file

    imported = import_file(api(url), bot, file)
    print_answer(imported, as_json, lambda _: f"{imported['stored']:,} stored, {imported['wrong']:,} wrong")
    if imported["wrong"]:
        raise typer.Exit(1)


@app.command()
def export(
    bot: Bot,
    chat: Chat,
    output: Annotated[Path | None, typer.Option(help="A file to write to; none: standard output.")] = None,
    url: Url = None,
) -> None:
    """Hand over everything that the database has of a chat: a JSON object on each line."""
    from contextlib import nullcontext

    from tempogram.bot.commands.client import CallFailed

    last = bytearray()

    def write(part: bytes) -> None:
        file.write(part)
        last.extend(part)
        del last[: -len(END) * 10]

    with output.open("wb") if output else nullcontext(typer.get_binary_stream("stdout")) as file:
        api(url).download(f"{_path(bot, chat)}/export", write)
        file.flush()
    # The last line, and not a text in which the same stands.
    if not bytes(last).rstrip(b"\n").rpartition(b"\n")[2].startswith(END):
        raise CallFailed("the export was cut off; try again")


@app.command()
def erase(
    bot: Bot,
    chat: Chat,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask back.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Delete everything that is kept of a chat, and write to it no more until it writes."""
    if not yes:
        ask(f"Delete everything of chat {chat} of bot {bot}, and cancel what waits for it?")
    print_answer(api(url).delete(_path(bot, chat)), as_json, _erased)


@app.command()
def allow(bot: Bot, chat: Chat, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Let a chat be written to again that was erased."""
    answer = api(url).delete(f"{_path(bot, chat)}/erasure")
    said = f"Chat {chat} may be written to again." if answer["lifted"] else f"Chat {chat} was not erased."
    print_answer(answer, as_json, lambda _: said)


def _erased(answer: dict[str, Any]) -> str:
    rows = ", ".join(f"{name} {count:,}" for name, count in sorted(answer["erased"].items())) or "nothing"
    left = f" {answer['left']:,} rows are left until they have ended." if answer["left"] else ""
    return f"Deleted: {rows}.{left}"


def _pages(client: Client, bot: int, tag: str | None, after: str | None, limit: int) -> dict[str, Any]:
    found: list[Any] = []
    while len(found) < limit:
        params: Params = [("limit", str(min(PAGE, limit - len(found))))]
        optional = (("tag", tag), ("after", after))
        answer = client.get(f"/bots/{bot}/chats", [*params, *((name, given) for name, given in optional if given)])
        found += answer["chats"]
        after = answer["next_after"]
        if after is None:
            break
    return {"chats": found, "next_after": after}


def _path(bot: int, chat: str) -> str:
    return f"/bots/{bot}/chats/{quote(chat, safe='@')}"


def _or_none(given: str | None) -> str | None:
    return None if given == NONE else given


def _one(chat: dict[str, Any]) -> Table | str:
    return _table({"chats": [chat], "next_after": None})


def _table(answer: dict[str, Any]) -> Table | str:
    if not answer["chats"]:
        return "There is no such chat; one is known once a message came or went, or it was imported."
    from rich.table import Table

    table = Table(
        "chat", "title", "zone", "language", "tags", "quiet hours", "last in", "last out", "besides", box=None
    )
    for chat in answer["chats"]:
        table.add_row(*_row(chat))
    return table


def _row(chat: dict[str, Any]) -> tuple[str, ...]:
    from rich.markup import escape

    hours = chat["quiet_hours"]
    cells = (
        str(chat["chat_id"]),
        chat["title"] or "",
        chat["time_zone"] or "",
        chat["language"] or "",
        ", ".join(chat["tags"]),
        f"{hours['from']}-{hours['until']}" if hours else "",
        (chat["last_message_in"] or "")[:16],
        (chat["last_message_out"] or "")[:16],
        ", ".join(_besides(chat)),
    )
    return tuple(map(escape, cells))


def _besides(chat: dict[str, Any]) -> list[str]:
    opted_out = ["opted out"] if chat["opted_out"] else []
    return opted_out if chat["reachable"] else [*opted_out, chat["reason"]]
