"""Shows and changes what is known of chats, and takes back what waits for one that opts out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import NotFound
from tempogram.api.core.repositories import Chats
from tempogram.api.schemas.chats import ChatChange, ChatOut, ChatsOut
from tempogram.api.usecases.known_bots import bot_of_path
from tempogram.api.usecases.submissions import client_key
from tempogram.engine.closing.closer import Closer, End
from tempogram.engine.model.broadcasts import BROADCAST
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.model.messages import ChatId, Outgoing, Status
from tempogram.engine.model.watches import WATCH
from tempogram.engine.ports import Fault, Ledger
from tempogram.engine.ports.audience import CAMPAIGN
from tempogram.engine.ports.broadcast_store import OPTED_OUT
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import KnownChat

log = structlog.get_logger()

OF_OWN_ACCORD = (client_key(CAMPAIGN), BROADCAST, WATCH)
"""How the ``dedup_key`` of a message begins that is of the bot's own accord."""

CANCELLED = End(Status.CANCELLED, Fault(code=None, reason=OPTED_OUT))

PAGE = 100


async def page(dependencies: Dependencies, bot_id: int, *, after: str, limit: int, tag: str | None) -> ChatsOut:
    """List the chats of a bot, a page.

    Raises:
        NotFound: There is no such bot.
    """
    await bot_of_path(dependencies.bots, bot_id)
    found = await dependencies.chats.page(bot_id, after=after, limit=limit + 1, tag=tag)
    shown = [ChatOut.of(chat) for chat in found[:limit]]
    return ChatsOut(chats=shown, next_after=str(shown[-1].chat_id) if len(found) > limit else None)


async def show(dependencies: Dependencies, bot_id: int, chat_id: ChatId) -> ChatOut:
    """Show a chat, by its id or by another name of it.

    Raises:
        NotFound: There is no such bot, or it knows no such chat.
    """
    await bot_of_path(dependencies.bots, bot_id)
    return await _shown(dependencies, bot_id, chat_id)


async def change(dependencies: Dependencies, bot_id: int, chat_id: ChatId, wanted: ChatChange) -> ChatOut:
    """Change what is given, also of a chat that is not known yet; one that opts out gets nothing more that waits.

    Raises:
        NotFound: There is no such bot.
    """
    await bot_of_path(dependencies.bots, bot_id)
    await dependencies.chats.set_facts(bot_id, [wanted.facts(chat_id, dependencies.clock())])
    note(after={"fields": sorted(wanted.model_fields_set)})
    shown = await _shown(dependencies, bot_id, chat_id)
    if wanted.opted_out:
        await _take_back(dependencies.ledger, dependencies.closer, bot_id, shown.chat_id)
    return shown


async def opt_out(chats: Chats, ledger: Ledger, closer: Closer, bot_id: int, chat_id: ChatId, *, now_ms: int) -> None:
    """Store that a chat has opted out, and take back what waits. What is being sent already still arrives.

    Raises:
        LedgerError: It was not stored, as far as is known.
    """
    await chats.set_facts(bot_id, [ChatFacts(chat_id=chat_id, opted_out_at_ms=now_ms)])
    await _take_back(ledger, closer, bot_id, chat_id)


async def opt_in(chats: Chats, bot_id: int, chat_id: ChatId) -> None:
    await chats.set_facts(bot_id, [ChatFacts(chat_id=chat_id, opted_out_at_ms=None)])


async def _shown(dependencies: Dependencies, bot_id: int, chat_id: ChatId) -> ChatOut:
    chat = await _present(dependencies, bot_id, chat_id)
    if chat is None:
        raise NotFound(f"bot {bot_id} knows no chat {chat_id}; it does once a message came or went, or one is imported")
    return ChatOut.of(chat)


async def _present(dependencies: Dependencies, bot_id: int, chat_id: ChatId) -> KnownChat | None:
    chat = await dependencies.chats.get(bot_id, chat_id)
    if chat is None or chat.alias_of is None:
        return chat
    return await dependencies.chats.get(bot_id, chat.alias_of)


async def _take_back(ledger: Ledger, closer: Closer, bot_id: int, chat_id: ChatId) -> None:
    """Cancel what waits for a chat of the bot's own accord; where the queue is away, it is sent all the same."""
    try:
        await closer.withdraw(_pages(ledger, bot_id, chat_id), CANCELLED)
    except (BrokerUnavailable, LedgerError) as error:
        log.warning("opt_out_took_nothing_back", bot_id=bot_id, reason=str(error))


async def _pages(ledger: Ledger, bot_id: int, chat_id: ChatId) -> AsyncIterator[list[str]]:
    after_id = ""
    while page := await ledger.open_of_chat(bot_id, chat_id, after_id=after_id, limit=PAGE):
        after_id = page[-1].id
        yield [each.id for each in page if _is_of_own_accord(each)]


def _is_of_own_accord(message: Outgoing) -> bool:
    return message.dedup_key is not None and message.dedup_key.startswith(OF_OWN_ACCORD)
