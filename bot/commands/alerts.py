"""``tempogram alerts``: shows what is wrong, and tries the channels, over the API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from tempogram.bot.commands.options import AsJson, Url
from tempogram.bot.commands.output import api, show

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="Show the alerts that are open, and try their channels, over the API.")


@app.callback(invoke_without_command=True)
def list_open(context: typer.Context, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to say a flag
    """Show the alerts that are open, oldest first."""
    if context.invoked_subcommand is None:
        show(api(url).get("/alerts"), as_json, _alerts_table)


@app.command("test")
def try_channels(url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Send a test alert by each channel, and say what came of it; status 1 if one failed."""
    answer = api(url).post("/alerts/test", {})
    show(answer, as_json, _trial_in_words)
    raise typer.Exit(1 if any(each["outcome"] != "accepted" for each in answer["channels"]) else 0)


def _alerts_table(answer: dict[str, Any]) -> Table | str:
    from rich.table import Table
    from rich.text import Text

    if not answer["alerts"]:
        return "There are no alerts."
    table = Table("since", "kind", "alert")
    for each in answer["alerts"]:
        since = datetime.fromtimestamp(each["since_ms"] / 1_000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        text = each["text"] if each["is_said"] else f"{each['text']} (not said yet: quiet hours)"
        table.add_row(since, each["kind"], Text(text))
    return table


OUTCOMES = {
    "accepted": "accepted",
    "pending": "waits in the queue; see tempogram queue stats",
    "refused": "refused",
    "away": "not reached",
}


def _trial_in_words(answer: dict[str, Any]) -> str:
    """Say what came of a test alert, channel by channel.

    >>> _trial_in_words({"channels": [{"channel": "slack", "outcome": "refused", "reason": "it answered with 404"}]})
    'slack: refused (it answered with 404)'
    """
    if not answer["channels"]:
        return "No channel is set; see ALERT_… in .env.example."
    return "\n".join(
        f"{each['channel']}: {OUTCOMES[each['outcome']]}" + (f" ({each['reason']})" if each["reason"] else "")
        for each in answer["channels"]
    )
