"""``tempogram select``: shows which chats a bot would write to now, and why it would not write to others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tempogram.bot.commands.options import AsJson, Url, given, read_quiet_hours
from tempogram.bot.commands.output import api, show

if TYPE_CHECKING:
    from rich.table import Table

    from tempogram.bot.commands.client import Client

Several = list[str] | None


def select(
    bot: Annotated[str, typer.Argument(metavar="BOT", help="A bot's id.", show_default=False)],
    chat: Annotated[Several, typer.Option(help="Only this chat; may be given several times, as the next four.")] = None,
    tag: Annotated[Several, typer.Option(help="Chats that have any of these tags.")] = None,
    without_tag: Annotated[Several, typer.Option(help="Chats that have none of these tags.")] = None,
    language: Annotated[Several, typer.Option(help="pt means pt-BR as well.")] = None,
    type_: Annotated[
        Several, typer.Option("--type", help="private, group, supergroup or channel; by default private.")
    ] = None,
    wrote_days_ago: Annotated[int | None, typer.Option(help="The last message came on this local day.")] = None,
    active_days: Annotated[int | None, typer.Option(help="It came within so many local days, or today.")] = None,
    quiet_days: Annotated[int | None, typer.Option(help="It came before so many local days, or never.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Leave out chats that this campaign has written to.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Only where it is this hour of the day now; up to 23:00.")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Of chats whose time zone is not known.")] = None,
    quiet_hours: Annotated[
        str | None, typer.Option(metavar="HH:MM-HH:MM", help="Of chats that have none of their own.")
    ] = None,
    daily_cap: Annotated[int | None, typer.Option(help="Messages a chat gets on a local date.")] = None,
    not_if_written_today: Annotated[bool, typer.Option(help="Leave out chats that were written to today.")] = False,  # noqa: FBT002
    listed: Annotated[bool, typer.Option("--list", help="Print the ids of the chats, one a line.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show how many chats a bot would write to now, and how many not and why."""
    rules = {
        "campaign": campaign,
        "at": at,
        "default_zone": zone,
        "quiet_hours": None if quiet_hours is None else read_quiet_hours(quiet_hours),
        "daily_cap": daily_cap,
        "not_if_written_today": not_if_written_today,
    }
    wanted = {
        "bot": bot,
        "chats": chat,
        "tags": tag,
        "without_tags": without_tag,
        "languages": language,
        "types": type_,
        "wrote_days_ago": wrote_days_ago,
        "active_days": active_days,
        "quiet_days": quiet_days,
        "rules": given(rules),
    }
    client, body = api(url), given(wanted)
    if listed:
        for chat_id in _ids(client, body):
            typer.echo(chat_id)
        return
    show(client.post("/selections/preview", body), as_json, _table)


def _ids(client: Client, body: dict[str, Any]) -> Iterator[str]:
    after: str | None = ""
    while after is not None:
        page = client.post("/selections/chats", {**body, "after": after})
        yield from (str(each["chat_id"]) for each in page["chats"])
        after = page["next_after"]


def _table(answer: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("chats", "number")
    table.columns[1].justify = "right"
    table.add_row("selected", f"{answer['selected']:,}")
    table.add_row("  of these held until their quiet hours end", f"{answer['held']:,}")
    for reason, count in sorted(answer["left_out"].items()):
        table.add_row(f"left out: {reason.replace('_', ' ')}", f"{count:,}")
    return table
