"""The functions of ``tempogram``, for the engine that runs in this program.

They may be called in a handler, in any task, event loop and thread; all work is done in the engine's loop. Without an
engine, and once its loop has ended, each raises ``RuntimeError`` at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NotRequired, TypedDict, TypeVar, cast

from aiogram import Bot
from aiogram.methods import TelegramMethod

from tempogram.api.core.errors import NotFound
from tempogram.api.core.redaction import short
from tempogram.api.schemas.messages import BATCH_MAX, ExplanationOut, MessageOut
from tempogram.api.schemas.queue import DeadLettersOut
from tempogram.api.usecases import dead_letters as letters
from tempogram.api.usecases import queued_message
from tempogram.api.usecases.queue_stats import counted
from tempogram.api.usecases.submissions import Submitted
from tempogram.bot.calls.call_options import CallOptions, read
from tempogram.bot.embedding import current
from tempogram.bot.embedding.current import RunningEngine
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.bot.telegram.methods import QUEUED
from tempogram.engine.model.messages import ChatId, Guarantee, Priority

Returned = TypeVar("Returned")

MESSAGE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")

Moment = datetime | str | float
"""A time with a zone, as a ``datetime`` or in ISO 8601, or seconds since the epoch."""


class LaneCounts(TypedDict):
    """Each message is counted in exactly one of the five: ``retry`` was tried and waits for its next attempt."""

    high: int
    normal: int
    low: int
    retry: int
    dlq: int


class WatchStats(TypedDict):
    """How much is watched: ``digests`` are chats that are still to be notified, ``pauses_s`` those of each source."""

    items: int
    subscribers: int
    due: int
    failing: int
    digests: int
    pauses_s: dict[str, float]


class QueueStats(TypedDict):
    """What ``GET /queue/stats`` answers."""

    stats: LaneCounts
    total_queued: int
    total_failed: int
    watches: NotRequired[WatchStats]
    broadcasts: NotRequired[dict[str, Any]]


async def send(bot: Bot | int, method: TelegramMethod[Returned], wait_s: float | None = None) -> Returned:
    """Send a message, or leave it to the queue if it must wait for its place for too long.

    The message is accepted first, so it is sent though the caller is cancelled or the process is killed.

    Args:
        bot: A ``Bot``, or the id of a bot that runs here.
        method: Any method of the Bot API: ``SendMessage(chat_id=7, text="hello")``.
        wait_s: Seconds that it may wait for its place; Telegram's own answer is not counted. None:
            ``TELEGRAM_RATE_LIMIT_WAIT``, or 2.0 if that is not set.

    Returns:
        What the method returns. If it still waits after ``wait_s``, a *handle*: the same type, with a provisional
        ``message_id`` below 0, with which it can be edited, deleted and replied to, and our id as ``tempogram_id``.
        (A method that has no handle, such as ``stopPoll``, is waited for until it has ended.)

    Raises:
        TelegramAPIError: Telegram or the engine refused it: aiogram's own exception for that. A full queue is
            ``TelegramRetryAfter``, a lost chat ``TelegramForbiddenError``.
        Refusal: There is no bot with this id.
        LedgerError: It was not accepted, as far as is known: the database cannot be reached.
        ValueError: ``wait_s`` is negative.
        RuntimeError: No engine runs.
    """
    if wait_s is not None and not wait_s >= 0:
        raise ValueError(f"wait_s should be 0 or more seconds, not {wait_s!r}")
    engine = current.engine()
    return await engine.gateway.loop.run(_send(engine, bot, method, engine.wait_s if wait_s is None else wait_s))


async def submit(
    bot: Bot | int,
    method: AnyMethod,
    *,
    priority: Priority | str | None = None,
    send_at: Moment | None = None,
    expires_in_s: float | None = None,
    dedup_key: str | None = None,
    delivery: Guarantee | str | None = None,
    tag: str | None = None,
) -> Submitted:
    """Accept a message without waiting until it is sent; from then on it outlives the process.

    What is None is as in the blocks around the call (``tempogram.priority``, ``tempogram.options``), or as the update
    of its handler has it.

    Args:
        bot: A ``Bot``, or the id of a bot that runs here.
        method: One that passes the queue. An edit or a delete of a message that waits goes behind it.
        priority: ``high``, ``normal`` or ``low``.
        send_at: Not before this time: a ``datetime`` or ISO 8601 text with a zone, or seconds since the epoch.
        expires_in_s: Seconds, counted from ``send_at`` or now, after which it is not sent any more.
        dedup_key: The same key of the same bot is accepted once, also by ``POST /messages``: printable ASCII, at most
            200 characters.
        delivery: ``at_least_once`` or ``at_most_once``.
        tag: A label of 1 to 64 printable characters.

    Returns:
        Its id and its status: ``queued``, or that of the message which had this ``dedup_key`` before.

    Raises:
        TelegramAPIError: It was refused; the same as of ``send``.
        Refusal: There is no bot with this id.
        LedgerError: It was not accepted, as far as is known.
        ValueError: An option is not what ``POST /messages`` takes; one sentence that names it.
        RuntimeError: No engine runs.
    """
    options = read(
        priority=priority,
        send_at=send_at,
        expires_in_s=expires_in_s,
        dedup_key=dedup_key,
        delivery=delivery,
        tag=tag,
    )
    engine = current.engine()
    (answer,) = await engine.gateway.loop.run(_submit_many(engine, bot, [method], options))
    if isinstance(answer, Exception):
        raise answer
    return answer


async def submit_many(
    bot: Bot | int,
    methods: Sequence[AnyMethod],
    *,
    priority: Priority | str | None = None,
    send_at: Moment | None = None,
    expires_in_s: float | None = None,
    delivery: Guarantee | str | None = None,
    tag: str | None = None,
) -> list[Submitted | Exception]:
    """Accept up to 10,000 messages by one write; a refused one does not affect the others.

    Args:
        bot: A ``Bot``, or the id of a bot that runs here.
        methods: See ``submit``. Files are read now.
        priority: See ``submit``, as for all that follow; of every message.
        send_at: Not before this time.
        expires_in_s: Seconds after which none is sent any more.
        delivery: ``at_least_once`` or ``at_most_once``.
        tag: A label.

    Returns:
        One answer for each, in their order: its id and status, or the exception that ``submit`` would have raised
        (of a file that cannot be read: ``OSError`` or ``aiohttp.ClientError``).

    Raises:
        Refusal: There is no bot with this id.
        LedgerError: None was accepted, as far as is known.
        ValueError: There are more than 10,000, or an option is wrong; none was accepted.
        RuntimeError: No engine runs.

    Cost: some 0.1 ms for each message, in which other tasks run; and one commit.
    """
    if len(methods) > BATCH_MAX:
        raise ValueError(f"a batch may have at most {BATCH_MAX:,} messages, and this one has {len(methods):,}")
    options = read(priority=priority, send_at=send_at, expires_in_s=expires_in_s, delivery=delivery, tag=tag)
    engine = current.engine()
    return await engine.gateway.loop.run(_submit_many(engine, bot, methods, options))


async def cancel(message_id: str) -> None:
    """Cancel a message that waits.

    Args:
        message_id: ``Submitted.id``, or ``tempogram_id`` of what ``send`` returned.

    Raises:
        NotFound: There is no such message.
        Conflict: It is being sent, or has ended.
        NotScheduled: It is accepted and not queued yet; try again in a moment.
        BrokerUnavailable: It waits as before.
        LedgerError: It is not sent any more, and ends once the database can be written.
        RuntimeError: No engine runs.
    """
    engine = current.engine()
    await engine.gateway.loop.run(queued_message.cancel(engine.dependencies, _known(message_id)))


async def state(message_id: str) -> MessageOut:
    """Return the state of a message, as ``GET /messages/{id}`` shows it, with every attempt and its files.

    Raises:
        NotFound: There is no such message.
        LedgerError: The database cannot be reached.
        RuntimeError: No engine runs.
    """
    engine = current.engine()
    found = await engine.gateway.loop.run(queued_message.state_of(engine.dependencies, _known(message_id)))
    return MessageOut.of(found)


async def find(bot: Bot | int, chat_id: ChatId, telegram_message_id: int) -> MessageOut | None:
    """Return the message of ours that has a number of Telegram's, as ``state``: what did a user answer?

    Args:
        bot: The bot that sent it, or its id.
        chat_id: Its chat.
        telegram_message_id: Its number there, or that of an item of its album:
            ``message.reply_to_message.message_id``.

    Returns:
        None: the bot did not send it through the engine, or longer ago than ``RETENTION_DAYS``.

    Raises:
        LedgerError: The database cannot be reached.
        RuntimeError: No engine runs.
    """
    engine = current.engine()
    bot_id = bot if isinstance(bot, int) else bot.id
    return await engine.gateway.loop.run(_find(engine, bot_id, chat_id, telegram_message_id))


async def explain(message_id: str) -> ExplanationOut:
    """Return why a message waits, behind how many, and until when at least, as ``GET /messages/{id}/explain``.

    Raises:
        NotFound, Conflict, NotScheduled: See ``cancel``.
        BrokerUnavailable: The queue cannot be reached.
        LedgerError: The database cannot be reached.
        RuntimeError: No engine runs.
    """
    engine = current.engine()
    explanation = await engine.gateway.loop.run(queued_message.explain(engine.dependencies, _known(message_id)))
    return ExplanationOut.of(explanation)


async def stats() -> QueueStats:
    """Count the queue, exactly in the shape of ``GET /queue/stats``.

    Raises:
        BrokerUnavailable: The queue cannot be reached.
        LedgerError: The database cannot be reached.
        RuntimeError: No engine runs.
    """
    engine = current.engine()
    stats_ = await engine.gateway.loop.run(counted(engine.dependencies))
    return cast("QueueStats", stats_.model_dump(exclude_none=True))


async def dead_letters(
    after: str = "", limit: int = 100, bot_id: int | None = None, tag: str | None = None
) -> DeadLettersOut:
    """Return a page of dead letters, oldest first, as ``GET /queue/dlq``.

    Args:
        after: ``next_after`` of the page before; '' is the first page.
        limit: How many, at most 1,000.
        bot_id: Only those of this bot.
        tag: Only those with this tag.

    Returns:
        ``letters``, and ``next_after``: None if this is the last page.

    Raises:
        ValueError: ``limit`` is not 1 to 1,000, or ``tag`` is none.
        LedgerError: The database cannot be reached.
        RuntimeError: No engine runs.
    """
    if not 1 <= limit <= letters.PAGE_MAX:
        raise ValueError(f"limit should be 1 to {letters.PAGE_MAX:,}, not {limit!r}")
    chosen, engine = read(tag=tag), current.engine()
    return await engine.gateway.loop.run(
        letters.page(engine.dependencies, after=after, limit=limit, bot_id=bot_id, tag=chosen.tag)
    )


async def _send(engine: RunningEngine, bot: Bot | int, method: TelegramMethod[Returned], wait_s: float) -> Returned:
    by, rule = await engine.bot(bot), QUEUED.get(method.__api_method__)
    if rule is None:  # it takes no place
        return await by(method)
    return cast("Returned", await engine.gateway.call(by, method, rule, wait_s=wait_s))


async def _submit_many(
    engine: RunningEngine, bot: Bot | int, methods: Sequence[AnyMethod], options: CallOptions
) -> list[Submitted | Exception]:
    return await engine.gateway.submit_many(await engine.bot(bot), methods, options)


async def _find(engine: RunningEngine, bot_id: int, chat_id: ChatId, number: int) -> MessageOut | None:
    history = engine.dependencies.history
    found = await history.of_number(chat_id, number, bot_id=bot_id)
    state = await history.message(found[0].id) if found else None
    return None if state is None else MessageOut.of(state)


def _known(message_id: str) -> str:
    if not MESSAGE_ID.fullmatch(message_id):
        raise NotFound(f"there is no message {short(message_id)}")
    return message_id
