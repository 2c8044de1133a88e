"""``tempogram.broadcast``: one message to many chats, by the engine that runs in this program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiogram import Bot
from aiogram.types import InputFile
from pydantic import ValidationError

from tempogram.api.core.validation_messages import first_sentence
from tempogram.api.schemas.broadcasts import BroadcastIn, BroadcastOut
from tempogram.api.usecases import broadcasts
from tempogram.bot.embedding import current
from tempogram.bot.embedding.current import RunningEngine


async def broadcast(
    bot: Bot | int,
    text: str | None = None,
    *,
    name: str = "broadcast",
    method: str | None = None,
    params: Mapping[str, Any] | None = None,
    selection: Mapping[str, Any] | None = None,
    start: bool = True,
    **options: Any,
) -> BroadcastOut:
    """Send one message to all chats of a selection, as ``POST /broadcasts`` and its ``/start`` do.

    It outlives the process: each chat gets it once. Return at once; see ``docs/broadcasts.md`` for how to follow it.

    Args:
        bot: A ``Bot``, or the id of a bot that runs here.
        text: With the fields of a chat: ``{title|friend}``, ``{language}``, ``{chat_id}``.
        name: To find it by.
        method: Instead of a text, as Telegram spells it: ``sendPhoto``.
        params: The method's other parameters, without ``chat_id``; with aiogram's own types if you like: a keyboard, or
            a file (``{"photo": FSInputFile("cat.jpg")}``), which is uploaded once.
        selection: Which chats: ``{"languages": ["en"], "active_days": 90}``; None: all private ones.
        start: False: it stays a draft.
        **options: ``at``, ``spread_h``, ``zone``, ``quiet_hours``, ``daily_cap``, ``not_if_written_today``,
            ``priority`` and ``delivery``, as ``POST /broadcasts`` takes them.

    Returns:
        The broadcast with its ``id``.

    Raises:
        ValueError: Something is not what ``POST /broadcasts`` takes; one sentence that names it.
        Refusal: There is no bot with this id, or Telegram would refuse the content.
        FileTooLarge: Telegram takes no file as large as one of these.
        OSError: A file cannot be read.
        LedgerError: The database cannot be reached; a draft may have been stored.
        RuntimeError: No engine runs.
    """
    given = {"text": text, "method": method, "params": params, "selection": selection, **options}
    said = {key: value for key, value in given.items() if value is not None}
    wanted = _read({"name": name, "bot": bot.id if isinstance(bot, Bot) else bot, **said})
    engine = current.engine()
    return await engine.gateway.loop.run(_made(engine, bot, wanted, start=start))


async def _made(engine: RunningEngine, bot: Bot | int, wanted: BroadcastIn, *, start: bool) -> BroadcastOut:
    sender, dependencies = await engine.bot(bot), engine.dependencies
    wanted, files = _with_files(sender, wanted)
    async with engine.gateway.attachments.spooled(sender, files) as spooled:
        made = await broadcasts.create(dependencies, wanted, spooled)
    return await broadcasts.changed(dependencies, dependencies.broadcasts.start, made.id) if start else made


def _with_files(bot: Bot, wanted: BroadcastIn) -> tuple[BroadcastIn, dict[str, InputFile]]:
    """Return it with aiogram's values in its parameters as JSON, and the files among them by their names."""
    files: dict[str, InputFile] = {}
    params = bot.session.prepare_value(wanted.params, bot=bot, files=files, _dumps_json=False)
    return wanted.model_copy(update={"params": params}), files


def _read(values: Mapping[str, Any]) -> BroadcastIn:
    try:
        return BroadcastIn.model_validate(values)
    except ValidationError as error:
        raise ValueError(first_sentence(error)) from None
