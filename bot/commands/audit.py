"""``tempogram audit``: shows who changed what, over the API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tempogram.bot.commands.options import AsJson, Url, given
from tempogram.bot.commands.output import api
from tempogram.bot.commands.output import show as print_answer

if TYPE_CHECKING:
    from rich.table import Table


def audit(
    who: Annotated[str | None, typer.Option(help="Of this caller only, as the list names it.")] = None,
    target: Annotated[str | None, typer.Option(help="Of this only, such as name=twilio or bot_id=42.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, the newest first.")] = 50,
    before: Annotated[str | None, typer.Option(help="Older ones: the next_before of the page before.")] = None,
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to say a flag
) -> None:
    """Show who changed what, when and from where, over the API."""
    asked = given({"who": who, "target": target, "limit": str(limit), "before": before})
    print_answer(api(url).get("/audit", list(asked.items())), as_json, _changes)


def _changes(answer: dict[str, Any]) -> Table | str:
    from rich.table import Table

    if not answer["changes"]:
        return "Nothing was changed."
    table = Table("time", "who", "from", "what", "change")
    for each in answer["changes"]:
        time = datetime.fromisoformat(each["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        what = f"{each['action']} {each['target']}".strip()
        table.add_row(time, each["who"], each["address"], what, _difference(each["before"], each["after"]))
    if answer["next_before"] is not None:
        table.caption = f"Older ones: --before {answer['next_before']}"
        table.caption_justify = "left"
    return table


def _difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Say what was there, and what is.

    >>> _difference({"paused": False}, {"paused": True, "replayed": 7})
    'paused: False → True, replayed: 7'
    """
    names = dict.fromkeys((*before, *after))
    return ", ".join(
        f"{name}: {before[name]} → {after.get(name, 'none')}" if name in before else f"{name}: {after[name]}"
        for name in names
    )
