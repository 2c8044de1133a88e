"""What users may do about it: ``/stop`` opts out, and ``/start`` in again; ``preferences``, if chosen, goes first."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.filters import Command
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram.bot.behaviours.reengagement.settings import CAMPAIGN
from tempogram.engine.model.clock import Clock
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.chat_facts import ChatFacts
from tempogram.storage.chats import Chats

STOPPED = "I will write to you only when you write to me. /start changes that."


def router() -> Router:
    made = Router(name=CAMPAIGN)
    made.message.register(stop, Command("stop"), F.chat.type == "private")
    made.message.register(start, Command("start"), F.chat.type == "private")
    return made


async def stop(message: Message, registered: RegisteredBot, chats: Chats, clock: Clock) -> SendMessage:
    await chats.set_facts(registered.bot_id, [ChatFacts(chat_id=message.chat.id, opted_out_at_ms=clock())])
    return message.answer(STOPPED, parse_mode=None)


async def start(message: Message, registered: RegisteredBot, chats: Chats) -> None:
    await chats.set_facts(registered.bot_id, [ChatFacts(chat_id=message.chat.id, opted_out_at_ms=None)])
    raise SkipHandler  # another behaviour greets
