"""``tempogram reengagement``: shows whom a bot would re-engage, and sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from tempogram.bot.commands.options import AsJson, Url
from tempogram.bot.commands.output import api
from tempogram.bot.commands.output import show as print_answer

if TYPE_CHECKING:
    from rich.table import Table

BY_MODEL = "(by the language model)"


def reengagement(
    bot: Annotated[int, typer.Argument(metavar="BOT", help="The bot's id.", show_default=False)],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only those whose hour it is then: 2026-01-01T16:00:00Z.")
    ] = None,
    after: Annotated[str, typer.Option(help="The last chat of the page before.")] = "",
    limit: Annotated[int, typer.Option(help="How many chats to list.", min=1, max=1_000)] = 100,
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show whom a bot would re-engage today, and with what text; nothing is sent."""
    query = {"limit": limit, **({"at": at} if at else {}), **({"after": after} if after else {})}
    print_answer(api(url).get(f"/bots/{bot}/reengagement?{urlencode(query)}"), as_json, shown)


def shown(answer: dict[str, Any]) -> Table | str:
    if not answer["messages"]:
        return counts(answer)
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=counts(answer), title_justify="left")
    for column in ("chat", "name", "time zone", "date", "not before", "text"):
        table.add_column(column)
    for each in answer["messages"]:
        words = each["title"] or "", each["time_zone"], each["local_date"], each["not_before"] or ""
        table.add_row(str(each["chat_id"]), *map(escape, (*words, each["text"] or BY_MODEL)))
    return table


def counts(answer: dict[str, Any]) -> str:
    """Say how many.

    >>> counts({"selected": 1_200, "held": 3, "left_out": {"opted_out": 2}})
    '1,200 chats would be written to (3 of them after their quiet hours); left out: 2 opted out'
    """
    held = f" ({answer['held']:,} of them after their quiet hours)" if answer["held"] else ""
    left_out = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in answer["left_out"].items())
    return f"{answer['selected']:,} chats would be written to{held}" + (f"; left out: {left_out}" if left_out else "")
