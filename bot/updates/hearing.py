"""Whether this process would notice that a lost chat is back.

A program's own Dispatcher asks Telegram for the kinds of updates that it has handlers for, and seldom for
``my_chat_member``. So what it was given tells what it hears: who comes back to a private chat writes there, and only
``my_chat_member`` shows for sure that a bot is back in a group or a channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tempogram.engine.model.messages import ChatId

if TYPE_CHECKING:
    from aiogram.types import Update


class Hearing:
    """What this process hears of which bot.

    Args:
        gets_updates: Whether Tempogram itself gets all updates of a bot, here or in another process.
    """

    def __init__(self, gets_updates: Callable[[int], bool]) -> None:
        self._gets_updates = gets_updates
        self._of_messages: set[int] = set()
        self._of_memberships: set[int] = set()

    def note(self, update: Update, bot_id: int) -> None:
        """Note an update that a program's own Dispatcher got."""
        if update.message is not None:
            self._of_messages.add(bot_id)
        if update.my_chat_member is not None:
            self._of_memberships.add(bot_id)

    def hears(self, bot_id: int, chat_id: ChatId) -> bool:
        """Tell whether it would be noticed here, or in another process, that a conversation takes messages again."""
        if self._gets_updates(bot_id) or bot_id in self._of_memberships:
            return True
        return bot_id in self._of_messages and isinstance(chat_id, int) and chat_id > 0
