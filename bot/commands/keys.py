"""``tempogram keys``: which tokens SECRET_KEY decrypts, and the way out where it does not.

It works on the database, because a program with another key does not start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tempogram.bot.commands.options import Url
from tempogram.bot.commands.output import api, ask, read_secret, show
from tempogram.engine.model.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from tempogram.bot.config.settings import Settings
    from tempogram.storage.audit import SqlAudit
    from tempogram.storage.sealed_tokens import SealedTokens

Result = TypeVar("Result")

HERE = "command line"
"""Who changes what, in the audit log: this command has no token, but the database and its key."""

app = typer.Typer(help="Show which bot tokens SECRET_KEY decrypts, and enter others anew.")

BotId = Annotated[int, typer.Argument(metavar="BOT_ID", help="A bot's id.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


@app.callback(invoke_without_command=True)
def keys(context: typer.Context, as_json: AsJson = False) -> None:  # noqa: FBT002 - typer's way to say a flag
    """Show which bot tokens SECRET_KEY decrypts; status 1 if it does not decrypt all."""
    if context.invoked_subcommand is not None:
        return
    found = asyncio.run(_read(_settings()))
    show(found, as_json, lambda answer: _table(answer["bots"]))
    if not as_json and (said := _of_a_change(found)):
        typer.echo(said)
    raise typer.Exit(0 if all(each["readable"] for each in found["bots"]) else 1)


@app.command()
def enter(bot_id: BotId) -> None:
    """Enter the token of a bot anew; it is asked for, or read from a line of standard input."""
    from tempogram.bot.telegram.tokens import LOOKS_LIKE, bot_id_of, is_token

    token = read_secret(f"Token of bot {bot_id}")
    if not is_token(token):
        raise SettingsError(f"this is not a bot token; {LOOKS_LIKE}")
    if bot_id_of(token) != bot_id:
        raise SettingsError(f"this is the token of bot {bot_id_of(token)}, not of bot {bot_id}; nothing was changed")
    if not _change(lambda tokens: tokens.enter(bot_id, token), "keys enter", f"bot_id={bot_id}"):
        raise _no_bot(bot_id)
    typer.echo(f"The token of bot {bot_id} is stored. Processes that run have it within a minute.")


@app.command()
def remove(
    bot_id: BotId,
    keep_messages: Annotated[bool, typer.Option("--keep-messages", help="Keep what waits.")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,  # noqa: FBT002
) -> None:
    """Remove a bot whose token is lost. What waits for it is cancelled when Tempogram runs."""
    if not yes:
        ask(f"Remove bot {bot_id} for good?")
    if not _change(
        lambda tokens: tokens.remove(bot_id, keep_messages=keep_messages), "keys remove", f"bot_id={bot_id}"
    ):
        raise _no_bot(bot_id)
    typer.echo(f"Bot {bot_id} is removed.")


@app.command()
def rotate(
    running: Annotated[bool, typer.Option("--running", help="While everything runs, over the API.")] = False,  # noqa: FBT002
    other_lost: Annotated[  # noqa: FBT002
        bool, typer.Option("--other-lost", help="End a change that was cut off; of its keys only SECRET_KEY is left.")
    ] = False,
    url: Url = None,
) -> None:
    """Encrypt every token with the present SECRET_KEY; the former one is asked for, or read from standard input.

    With --running every process has it as FORMER_SECRET_KEY.
    """
    if running and other_lost:
        raise SettingsError("--running needs both keys, so it does not go with --other-lost")
    if running:
        counted = api(url).post("/keys/rotate", {})
        typer.echo(_counted(counted))
        raise typer.Exit(1 if counted["former"] or counted["unreadable"] else 0)
    from tempogram.storage.keys import Seal

    former = None if other_lost else Seal(read_secret("Former SECRET_KEY"))
    rotation = _change(lambda tokens: tokens.rotate(former), "keys rotate", "")
    typer.echo(f"{len(rotation.renewed)} encrypted with the present SECRET_KEY.")
    if rotation.left:
        keys = "SECRET_KEY does not decrypt" if other_lost else "Neither key decrypts"
        typer.echo(f"{keys} the tokens of {_listed(rotation.left)}; {_enter_anew(rotation.left)}")
        raise typer.Exit(1)


def _settings() -> Settings:
    from tempogram.bot.config import logging
    from tempogram.bot.config.settings import load

    settings = load()
    logging.configure("WARNING", settings.log_format)
    return settings


async def _read(settings: Settings) -> dict[str, Any]:
    """Read what is under which key, beside whatever runs. If there is no key, one that fits none stands for it."""
    import secrets
    import time
    from dataclasses import asdict

    from tempogram.bot.config.data_dir import database_url, stored_seal
    from tempogram.storage.database.database import Database
    from tempogram.storage.database.engines import database_exists
    from tempogram.storage.identity.under_keys import digests_under_keys
    from tempogram.storage.keys import Seal
    from tempogram.storage.present_key import change_under_way
    from tempogram.storage.sealed_tokens import SealedTokens

    if not database_exists(database_url(settings)):
        return {"bots": []}
    seal = stored_seal(settings) or Seal(secrets.token_urlsafe())
    database = Database.open_read_only(database_url(settings))
    try:
        found = await SealedTokens(database, seal).all()
        is_changing = await change_under_way(database) is not None
        digests = await digests_under_keys(database, seal.digests, now_ms=time.time_ns() // 1_000_000)
    finally:
        await database.close()
    bots = [{"id": str(each.bot_id), "username": each.username, "readable": each.is_readable} for each in found]
    return {"bots": bots, "has_former_key": seal.has_two, "is_changing": is_changing} | asdict(digests)


def _change(work: Callable[[SealedTokens], Awaitable[Result]], action: str, target: str) -> Result:
    """Change what is stored, and write down in the audit log that it was changed."""

    async def change() -> Result:
        from tempogram.storage.audit import Change

        async with _opened(_settings()) as (tokens, audit):
            if result := await work(tokens):
                await audit.add(Change(who=HERE, role="admin", address="", action=action, target=target))
            return result

    return asyncio.run(change())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[SealedTokens, SqlAudit]]:
    """Open the database to write, with the key of a start; an SQLite file only if no process uses it."""
    from tempogram.bot.config.data_dir import database_url, seal
    from tempogram.engine.model.clock import SystemClock
    from tempogram.storage.audit import SqlAudit
    from tempogram.storage.database.database import Database
    from tempogram.storage.database.engines import database_exists
    from tempogram.storage.processes.exclusive_lock import alone_on_file
    from tempogram.storage.sealed_tokens import SealedTokens

    url = database_url(settings)
    if not database_exists(url):
        raise SettingsError("there is no database yet, so there are no tokens; start tempogram run")
    async with alone_on_file(url):
        database = await Database.open(url)
        try:
            yield SealedTokens(database, seal(settings)), SqlAudit(database, clock=SystemClock())
        finally:
            await database.close()


def _counted(counted: dict[str, Any]) -> str:
    """Say what is under which key, and what to do.

    >>> print(_counted({"present": 11, "former": 1, "unreadable": 0}))
    Bots under the present SECRET_KEY: 11. Still under the former one: 1; call this again.
    >>> print(_counted({"present": 2, "former": 0, "unreadable": 0, "api_tokens": {"former": 1, "unknown": 1}}))
    Bots under the present SECRET_KEY: 2. Without FORMER_SECRET_KEY these stop working, unless they are used before: \
2 API tokens (1 of them perhaps).
    """
    said = [f"Bots under the present SECRET_KEY: {counted['present']}."]
    if counted["former"]:
        said.append(f"Still under the former one: {counted['former']}; call this again.")
    if counted["unreadable"]:
        said.append(f"Neither key decrypts {counted['unreadable']}; see tempogram keys.")
    if not counted["former"] and (ending := _ending(counted)):
        said.append(ending)
    elif not counted["former"] and not counted["unreadable"]:
        said.append("FORMER_SECRET_KEY is not needed any more: start every process without it.")
    return " ".join(said)


def _of_a_change(found: dict[str, Any]) -> str:
    said = []
    if found.get("is_changing"):
        said.append("SECRET_KEY is being changed: tempogram keys rotate --running goes on; see docs/operations.md.")
    if found.get("has_former_key") and (ending := _ending(found)):
        said.append(ending)
    return "\n".join(said)


def _ending(counted: dict[str, Any]) -> str:
    """Say what ends with the former key, beside bots.

    >>> print(_ending({"login_links": {"former": 1, "unknown": 0}}))
    Without FORMER_SECRET_KEY these stop working, unless they are used before: 1 log-in link.
    """
    kinds = {"api_tokens": "API token", "login_links": "log-in link", "sessions": "session"}
    ends = [_so_many(counted[kind], word) for kind, word in kinds.items() if kind in counted]
    if not any(ends):
        return ""
    listed = ", ".join(filter(None, ends))
    return f"Without FORMER_SECRET_KEY these stop working, unless they are used before: {listed}."


def _so_many(count: dict[str, int], word: str) -> str:
    ending, unknown = count["former"] + count["unknown"], count["unknown"]
    perhaps = f" ({unknown} of them perhaps)" if unknown else ""
    return f"{ending} {word}{'s' * (ending != 1)}{perhaps}" if ending else ""


def _no_bot(bot_id: int) -> SettingsError:
    return SettingsError(f"there is no bot {bot_id} in this database; tempogram keys lists those that are")


def _table(bots: Sequence[dict[str, Any]]) -> Table | str:
    from rich.table import Table
    from rich.text import Text

    if not bots:
        return "There are no bots, so there are no tokens."
    lost = [int(each["id"]) for each in bots if not each["readable"]]
    table = Table(caption=_enter_anew(lost).capitalize() if lost else None, caption_justify="left")
    for heading in ("bot", "username", "token"):
        table.add_column(heading, overflow="fold")
    for each in bots:
        said = Text("can be read") if each["readable"] else Text("cannot be decrypted", style="red")
        table.add_row(each["id"], Text(f"@{each['username']}" if each["username"] else ""), said)
    return table


def _enter_anew(bot_ids: Sequence[int]) -> str:
    return f"enter each anew: tempogram keys enter {bot_ids[0]}"


def _listed(bot_ids: Sequence[int]) -> str:
    return ", ".join(map(str, bot_ids))
