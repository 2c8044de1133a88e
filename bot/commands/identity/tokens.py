"""``tempogram tokens``: makes, lists and revokes API tokens, over the API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tempogram.bot.commands.identity.users import id_of
from tempogram.bot.commands.options import AsJson, Url, given
from tempogram.bot.commands.output import api, show

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="Make, list and revoke API tokens, over the API.", no_args_is_help=True)

User = Annotated[str | None, typer.Option(help="The name of the user whose it is.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.", show_default=False)],
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")] = "viewer",
    user: User = None,
    bots: Annotated[list[str] | None, typer.Option("--bot", help="Only for this bot; may be repeated.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="So many days it is valid; by default for ever.")] = None,
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002 - typer's way to say a flag
) -> None:
    """Make a token. It is printed once, and is not shown again."""
    made = api(url)
    wanted = {
        "name": name,
        "role": role,
        "user": None if user is None else id_of(made, user),
        "bots": bots,
        "expires_in_s": None if days is None else days * 86_400,
    }
    show(made.post("/tokens", given(wanted)), as_json, lambda answer: str(answer["text"]))


@app.command("list")
def list_tokens(user: User = None, url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """List tokens, without their secrets."""
    made = api(url)
    asked = [] if user is None else [("user", id_of(made, user))]
    show(made.get("/tokens", asked), as_json, _tokens_table)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, the part after tpg_.", show_default=False)],
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """End a token for good, in every process within 2 s."""
    from urllib.parse import quote

    answer = api(url).delete(f"/tokens/{quote(token_id, safe='')}")
    show(answer, as_json, lambda revoked: f"Token {revoked['id']} is revoked.")


def _tokens_table(answer: dict[str, Any]) -> Table | str:
    from rich.table import Table

    if not answer["tokens"]:
        return "There are no tokens; tempogram tokens add makes one."
    table = Table("id", "name", "user", "role", "bots", "ends", "last used")
    for each in answer["tokens"]:
        bots = "all" if each["bots"] is None else ", ".join(each["bots"])
        cells = (each["user"] or "", each["role"], bots, _end_of(each), _when(each["last_used_at"]) or "never")
        table.add_row(each["id"], each["name"], *cells)
    return table


def _end_of(token: dict[str, Any]) -> str:
    """Say when a token ends.

    >>> _end_of({"revoked_at": None, "expires_at": None})
    'never'
    """
    if token["revoked_at"] is not None:
        return "revoked"
    return _when(token["expires_at"]) or "never"


def _when(moment: str | None) -> str:
    return "" if moment is None else datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")
