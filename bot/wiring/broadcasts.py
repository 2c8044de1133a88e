"""Broadcasts: what operators do with them, and what feeds the queue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from tempogram.api.core.ports import Composer
from tempogram.bot.broadcasts.desk import Desk
from tempogram.bot.broadcasts.media import files_of
from tempogram.bot.telegram.composer import read as read_params
from tempogram.bot.telegram.method_classes import BY_NAME
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.broadcasts.board import Broadcasts
from tempogram.engine.broadcasts.feeder import Composed, Feeder
from tempogram.engine.model.broadcasts import Addressee, Broadcast, Content
from tempogram.engine.model.messages import Outgoing
from tempogram.storage.files.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcasting:
    """What a process has of broadcasts.

    Attributes:
        feeder: Runs in one process for all.
    """

    board: Broadcasts
    feeder: Feeder


def broadcasting_of(
    context: Context, storage: Storage, queue: Queue, engine: Engine, composer: Composer
) -> Broadcasting:
    compose = composed(composer)
    feeder = Feeder(
        storage.broadcasts,
        storage.audience,
        dispatcher=engine.dispatcher,
        ledger=storage.ledger,
        closer=queue.closer,
        compose=compose,
        bots_among=storage.bots.among,
        limits=storage.limits.current,
        knows_files=knowing(storage.uploads),
        conditions=queue.conditions,
        clock=context.clock,
    )
    engine.metrics.broadcasts, engine.metrics.recipients_left = feeder.counts, feeder.left
    engine.metrics.recipients_ended = feeder.ended
    board = Broadcasts(
        storage.broadcasts,
        storage.audience,
        broker=queue.broker,
        ledger=storage.ledger,
        closer=queue.closer,
        compose=compose,
        read=read,
        limits=storage.limits.current,
        wake=feeder.wake,
        clock=context.clock,
    )
    return Broadcasting(board=board, feeder=feeder)


def desk_of(context: Context, broadcasting: Broadcasting) -> Desk:
    """Return the operators' chat, which is that of the alerts."""
    bot_id, chat = context.settings.alert_bot, context.settings.alert_chat
    chat_id = chat.lower() if chat.startswith("@") or not chat else int(chat)
    return Desk(board=broadcasting.board, bot_id=bot_id, chat_id=chat_id)


def read(content: Content) -> Content:
    """Return content whose parameters are objects and lists where they are written as JSON in a text."""
    method = BY_NAME.get(content.method.lower())
    return content if method is None else replace(content, params=read_params(method, content.params))


def composed(composer: Composer) -> Composed:
    """Return what makes the message to a recipient."""

    def compose(broadcast: Broadcast, addressee: Addressee, params: Mapping[str, object]) -> Outgoing:
        plan = broadcast.plan
        return composer.compose(
            broadcast.bot_id,
            addressee.to,
            plan.content.method,
            params,
            files=files_of(plan.content, params),
            priority=plan.priority,
            guarantee=plan.guarantee,
            dedup_key=addressee.dedup_key(broadcast),
            tag=broadcast.tag,
        )

    return compose


def knowing(uploads: Uploads) -> Callable[[Broadcast], Awaitable[bool | None]]:
    """Return what tells whether Telegram has all files of a broadcast; see ``Feeder``."""

    async def knows(broadcast: Broadcast) -> bool | None:
        media = broadcast.plan.content.media
        return media is None or await uploads.are_known(media, broadcast.bot_id)

    return knows
