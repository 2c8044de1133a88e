"""Shows and changes what is known of chats."""

from __future__ import annotations

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import NotFound
from tempogram.api.schemas.chats import ChatChange, ChatOut, ChatsOut
from tempogram.api.usecases.known_bots import bot_of_path
from tempogram.engine.model.messages import ChatId
from tempogram.storage.chats import KnownChat


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
    """Change what is given, also of a chat that is not known yet.

    Raises:
        NotFound: There is no such bot.
    """
    await bot_of_path(dependencies.bots, bot_id)
    await dependencies.chats.set_facts(bot_id, [wanted.facts(chat_id, dependencies.clock())])
    return await _shown(dependencies, bot_id, chat_id)


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
