"""The name of each bot, by which a message mentions it, as far as it is known without asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from aiogram import Bot
from aiogram.exceptions import AiogramError

ASK_AGAIN_S = 60.0
"""After Telegram gave no answer. untuned: until then a mention has normal priority."""


class Usernames:
    """aiogram asks for the name when polling starts, and keeps it; under a webhook it is asked for here, once."""

    def __init__(self, *, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._asked_at_s: dict[int, float] = {}
        self._asking: set[asyncio.Task[None]] = set()

    @staticmethod
    def of(bot: Bot) -> str:
        """Return a bot's name; "" while it is not known."""
        me = getattr(bot, "_me", None)  # ``bot.me()`` would ask Telegram, and the update would wait for it
        return "" if me is None else str(me.username or "")

    def ask(self, bot: Bot) -> None:
        """Have a name asked for that is not known; to be called in one event loop, in which ``stop`` is called, too."""
        if getattr(bot, "_me", None) is not None:
            return
        if self._now_s() - self._asked_at_s.get(bot.id, -ASK_AGAIN_S) >= ASK_AGAIN_S:
            self._asked_at_s[bot.id] = self._now_s()
            task = asyncio.create_task(_ask(bot))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    def stop(self) -> None:
        for task in self._asking:
            task.cancel()


async def _ask(bot: Bot) -> None:
    try:
        await bot.me()
    except AiogramError:
        return  # asked again with an update later on; the program sees the trouble by its own calls
