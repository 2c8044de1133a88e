"""What users may do about it: ``/stop`` opts out, and ``/start`` in again, also where ``preferences`` is not chosen.

Opting out and in comes before all other behaviours, and leaves the answer to them. If none has one, ``/stop`` is
answered here.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram.api.usecases.chats import opt_in, opt_out
from tempogram.bot.behaviours.preferences import IsCommand, answer
from tempogram.bot.behaviours.reengagement.settings import CAMPAIGN
from tempogram.engine.closing.closer import Closer
from tempogram.engine.ports import Clock, Ledger
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.chats import Chats


def router() -> Router:
    made = Router(name=CAMPAIGN)
    made.message.register(confirm_stop, F.text, IsCommand("stop"))
    return made


def listener() -> Router:
    """Return what sees each message before the other behaviours, and leaves it to them."""
    made = Router(name=CAMPAIGN)
    made.message.register(stop, F.text, IsCommand("stop"))
    made.message.register(start, F.text, IsCommand("start"))
    return made


async def stop(
    message: Message, registered: RegisteredBot, chats: Chats, ledger: Ledger, closer: Closer, clock: Clock
) -> None:
    await opt_out(chats, ledger, closer, registered.bot_id, message.chat.id, now_ms=clock())
    raise SkipHandler


async def start(message: Message, registered: RegisteredBot, chats: Chats) -> None:
    await opt_in(chats, registered.bot_id, message.chat.id)
    raise SkipHandler


async def confirm_stop(message: Message, registered: RegisteredBot, config: Mapping[str, str]) -> SendMessage:
    return answer("stop", message, registered, config)
