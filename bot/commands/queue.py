"""``tempogram queue``: shows the queue, and shows, replays and removes dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from tempogram.bot.commands.options import AsJson, Url
from tempogram.bot.commands.output import api, ask, show

if TYPE_CHECKING:
    from rich.table import Table

    from tempogram.bot.commands.client import Client, Params

app = typer.Typer(help="Show the queue and its dead letters, over the API.", no_args_is_help=True)
letters = typer.Typer(help="Dead letters: messages that were given up on.", no_args_is_help=True)
app.add_typer(letters, name="dlq")

PAGE = 1_000
"""Dead letters that the API returns at once."""

Bot = Annotated[int | None, typer.Option(min=1, help="Only those of this bot.")]
Tag = Annotated[str | None, typer.Option(help="Only those with this tag.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]


@app.command()
def stats(url: Url = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to say a flag
    """Count waiting messages by priority, and dead letters."""
    show(api(url).get("/queue/stats"), as_json, _stats_table)


@app.command()
def explain(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="A message's id.", show_default=False)],
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Explain why a message waits: at which limit, behind how many, and until when at least."""
    from tempogram.bot.commands.explanation import in_words

    explained = api(url).get(f"/messages/{quote(message_id, safe='')}/explain")
    show(explained, as_json, lambda answer: in_words(answer, datetime.now(UTC)))


@app.command()
def cancel(
    tag: Annotated[str, typer.Option(help="The tag of the messages.", show_default=False)],
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Cancel every message that waits with a tag, such as those of one campaign."""
    show(_cancel_tagged(api(url), tag), as_json, _cancelled_in_words)


@letters.command("list")
def list_letters(
    url: Url = None,
    bot: Bot = None,
    tag: Tag = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, oldest first.")] = 50,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """List dead letters with their reasons."""
    show(_letters(api(url), bot, tag, limit), as_json, _letters_table)


@letters.command()
def replay(url: Url = None, ids: Ids = None, bot: Bot = None, every: All = False, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Queue dead letters again: by id, all of a bot, or all."""
    chosen, made = _chosen(ids, bot, every=every), api(url)
    replayed = sum(made.post("/queue/dlq/replay", each)["replayed"] for each in chosen)
    show({"replayed": replayed}, as_json, lambda answer: f"{answer['replayed']} queued again")


@letters.command()
def purge(
    url: Url = None,
    ids: Ids = None,
    bot: Bot = None,
    every: All = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Delete dead letters for good: by id, all of a bot, or all."""
    chosen, made = _chosen(ids, bot, every=every), api(url)
    if not yes:
        ask(f"Delete {_named(ids, bot)} for good?")
    purged = sum(made.delete("/queue/dlq", _query(each))["purged"] for each in chosen)
    show({"purged": purged}, as_json, lambda answer: f"{answer['purged']} deleted")


def _cancel_tagged(made: Client, tag: str) -> dict[str, Any]:
    """Ask again until every message was looked at: one request goes on for some seconds."""
    cancelled = 0
    while True:
        answer = made.delete("/messages", [("tag", tag)])
        cancelled += answer["cancelled"]
        if answer["is_complete"] or not answer["cancelled"]:
            return {"cancelled": cancelled, "left": answer["left"]}


def _cancelled_in_words(answer: dict[str, int]) -> str:
    """Say how many were cancelled, and how many could not be.

    >>> _cancelled_in_words({"cancelled": 1200, "left": 1}), _cancelled_in_words({"cancelled": 0, "left": 0})
    ('1,200 cancelled; 1 is being sent, or not queued yet', '0 cancelled')
    """
    cancelled, left = f"{answer['cancelled']:,} cancelled", answer["left"]
    if not left:
        return cancelled
    return f"{cancelled}; {left:,} {'is' if left == 1 else 'are'} being sent, or not queued yet"


def _letters(made: Client, bot: int | None, tag: str | None, limit: int) -> dict[str, Any]:
    """Read pages until there are enough."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while len(found) < limit:
        asked = [("limit", str(min(PAGE, limit - len(found))))]
        asked += [("after", after)] if after else []
        asked += [("bot", str(bot))] if bot else []
        asked += [("tag", tag)] if tag is not None else []
        page = made.get("/queue/dlq", asked)
        found += page["letters"]
        after = page["next_after"]
        if after is None:
            break
    return {"letters": found, "next_after": after}


def _chosen(ids: Sequence[str] | None, bot: int | None, *, every: bool) -> list[dict[str, Any]]:
    """Return the chosen dead letters as the API's selections; many ids become several."""
    if [bool(ids), bot is not None, every].count(True) != 1:
        raise typer.BadParameter("choose dead letters by their ids, by --bot, or by --all")
    if ids:
        return list(_cut(ids))
    return [{"all": True}] if bot is None else [{"bot": str(bot)}]


def _cut(ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    from tempogram.bot.commands.client import IDS_PER_CALL
    from tempogram.engine.model.batching import batches

    return ({"ids": list(each)} for each in batches(ids, IDS_PER_CALL))


def _query(selection: dict[str, Any]) -> Params:
    match selection:
        case {"ids": ids}:
            return [("ids", each) for each in ids]
        case {"bot": bot}:
            return [("bot", bot)]
        case _:
            return [("all", "true")]


def _named(ids: Sequence[str] | None, bot: int | None) -> str:
    if ids:
        return f"{len(ids)} dead letter{'s'[: len(ids) > 1]}"
    return "all dead letters" if bot is None else f"all dead letters of bot {bot}"


def _stats_table(answer: dict[str, Any]) -> Table:
    from rich.table import Table

    named = {"high": "high", "normal": "normal", "low": "low", "retry": "to be tried again", "dlq": "dead letters"}
    table = Table("", "messages")
    table.columns[1].justify = "right"
    for name, count in answer["stats"].items():
        table.add_row(named.get(name, name), f"{count:,}", end_section=name == "retry")
    table.add_row("queued in all", f"{answer['total_queued']:,}", style="bold")
    if watches := answer.get("watches"):
        table.caption = _watched(watches)
    return table


def _watched(stats: dict[str, Any]) -> str:
    pauses = ", ".join(f"{source} every {pause_s:g} s" for source, pause_s in stats["pauses_s"].items())
    return (
        f"{stats['items']:,} items are watched by {stats['subscribers']:,} chats: {stats['due']:,} due, "
        f"{stats['failing']:,} failing, {stats['digests']:,} digests waiting; {pauses}"
    )


def _letters_table(answer: dict[str, Any]) -> Table | str:
    from rich.table import Table
    from rich.text import Text

    if not answer["letters"]:
        return "There are no dead letters."
    table = Table(caption="There are more; --limit shows them." if answer["next_after"] else None)
    for heading in ("id", "bot", "chat", "method", "tag", "tries", "given up", "reason"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for each in answer["letters"]:
        cells = (each["id"], each["bot"], each["chat_id"], each["method"], each["tag"], each["attempt"])
        table.add_row(*(Text(_plain(cell)) for cell in (*cells, _when(each["settled_at"]), each["reason"])))
    return table


def _plain(cell: object) -> str:
    r"""Return a text without control characters: a reason is written by a server that we do not control.

    >>> _plain("chat not found\x1b[2J"), _plain(None)
    ('chat not found�[2J', '')
    """
    return "" if cell is None else "".join(sign if sign.isprintable() else "�" for sign in str(cell))


def _when(moment: str | None) -> str:
    return "" if moment is None else datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
