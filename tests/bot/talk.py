"""Updates as Telegram sends them, and a bot that answers them, with a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from types import ModuleType
from typing import Any

from aiogram import Bot, Router
from aiogram.types import Update

from tempogram.bot.behaviours.behaviour import Behaviour
from tempogram.bot.behaviours.dispatchers import Dispatchers, dispatchers_of
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.broadcasts.desk import Desk as BroadcastDesk
from tempogram.bot.generator import Conversation, NotWritten, TextGenerator, Written
from tempogram.bot.generator.conversation import ConversationWriter
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.bot.updates.handler_pool import HandlerPool
from tempogram.bot.updates.intake import UpdateIntake
from tempogram.bot.updates.reachability import ReachabilityObserver
from tempogram.bot.updates.recorder import Recorder
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Outgoing
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.chats import Chats
from tempogram.storage.database.database import Database
from tempogram.storage.messages import MessageHistory
from tempogram.storage.texts import Texts
from tempogram.storage.updates import Updates
from tests.bot.fakes import BOT_ID, AcceptingDispatcher, DirectSession, OneBot
from tests.bot.gateways import accepting_gateway, under_every_bot
from tests.broadcasts import BroadcastWorld
from tests.engine.desk import Desk
from tests.fakes import Clock

KEEP_MS = 3_600_000
PRIVATE, GROUP, OPERATORS = 7, -100_5, -100_9

_numbers = count(1)


def update(
    text: str | None, *, chat_id: int = PRIVATE, update_id: int | None = None, sender: str = "Anna", **message: Any
) -> dict[str, Any]:
    """Return an update with a message."""
    number = next(_numbers) if update_id is None else update_id
    chat = {"id": chat_id, "type": "private", "first_name": "Anna", "last_name": "A."}
    if chat_id < 0:
        chat = {"id": chat_id, "type": "supergroup", "title": "Chess club"}
    said = {"text": text} if text is not None else {}
    usual = {"message_id": number, "date": 1, "chat": chat, "from": person(sender)}
    return {"update_id": number, "message": usual | said | message}


def person(name: str, *, user_id: int = 5, is_bot: bool = False) -> dict[str, Any]:
    return {"id": user_id, "is_bot": is_bot, "first_name": name}


def mention(text: str) -> dict[str, Any]:
    """Return the entities of a text that begins with a mention of the bot."""
    return {"entities": [{"type": "mention", "offset": 0, "length": text.index(" ")}]}


class ScriptedGenerator:
    """Returns the test's texts, and keeps what it was asked."""

    def __init__(self, *answers: str, takes_time: bool = True) -> None:
        self.takes_time = takes_time
        self.asked: list[Conversation] = []
        self._answers = list(answers)

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        self.asked.append(conversation)
        return Written(self._answers.pop(0)) if self._answers else NotWritten("no more answers")


class Talk:
    """A bot with an inbox, over an engine that accepts everything and sends nothing."""

    def __init__(self, database: Database, clock: Clock, *, generator: TextGenerator, settings: dict[str, Any]) -> None:
        self.clock = clock
        self.accepting = AcceptingDispatcher()
        self.fleet = OneBot(behaviours=settings)
        self.history, self.chats = MessageHistory(database), Chats(database)
        self.texts = Texts(database, keep_ms=KEEP_MS)
        self.updates = Updates(database, process=1)
        self.conversation_writer = ConversationWriter(generator, texts=self.texts, keep_ms=KEEP_MS, clock=clock)
        self.dispatchers = Dispatchers([])
        self.broadcasts = BroadcastWorld(database, clock)
        self.desk = BroadcastDesk(board=self.broadcasts.board, bot_id=BOT_ID, chat_id=OPERATORS)
        self.pool = HandlerPool(size=10, waiting_max=1_000)
        ids, desk = Ids(process=1), Desk()
        self.reachability, self.eraser = desk.reachability, desk.eraser
        self.gateway = accepting_gateway(self.accepting, MethodComposer(clock=clock, ids=ids))
        self.intake = UpdateIntake(
            updates=self.updates,
            death=asyncio.Event().wait,
            fleet=self.fleet,  # type: ignore[arg-type]
            dispatcher=self,
            gateway=self.gateway,
            pool=self.pool,
            conditions=desk.conditions,
            clock=clock,
            recorder=Recorder(
                history=self.history,
                chats=self.chats,
                reachability=ReachabilityObserver(chats=self.chats, reachability=self.reachability, eraser=desk.eraser),
                conversation_writer=self.conversation_writer,
                ids=ids,
            ),
        )

    async def feed_update(self, bot: Bot, update: Update, *, registered: RegisteredBot) -> Any:
        """See ``bot.updates.intake.Handlers``."""
        return await self.dispatchers.feed_update(bot, update, registered=registered)

    async def set_up(self, behaviours: Behaviours) -> None:
        bundled = {
            "conversation_writer": self.conversation_writer,
            "chats": self.chats,
            "ledger": self.broadcasts.ledger,
            "closer": self.broadcasts.closer,
            "clock": self.clock,
            "desk": self.desk,
        }
        self.dispatchers = await dispatchers_of(behaviours.all, self.fleet, bundled=bundled)

    async def hears(self, *updates: dict[str, Any]) -> None:
        """Receive updates a second apart, and wait until they are handled."""
        for each in updates:
            self.clock.advance(1_000)
            await self.intake.receive(BOT_ID, json.dumps(each).encode())
            await self.pool.drain()

    @property
    def submitted(self) -> list[Outgoing]:
        return self.accepting.messages

    @property
    def said(self) -> list[str]:
        return [params(message)["text"] for message in self.submitted]

    @property
    def direct(self) -> DirectSession:
        return self.fleet.direct


@asynccontextmanager
async def talk(
    database: Database,
    clock: Clock,
    *own: Router | Behaviour,
    generator: TextGenerator | None = None,
    settings: dict[str, Any] | None = None,
) -> AsyncIterator[Talk]:
    """Return a ``Talk`` whose bot has its own behaviours and those in ``settings``."""
    mine = [behaviour(each) if isinstance(each, Router) else each for each in own]
    chosen = {each.name: {} for each in mine} | (settings or {})
    talking = Talk(database, clock, generator=generator or ScriptedGenerator(), settings=chosen)
    await talking.set_up(Behaviours(mine))
    with under_every_bot(talking.gateway):
        yield talking


def behaviour(router: Router, *, name: str = "mine", **functions: Any) -> Behaviour:
    """Return the behaviour of a module with this router and these functions."""
    module = ModuleType(name)
    module.__dict__.update(functions)
    return Behaviour(name=name, module=module, router=router)


def params(message: Outgoing) -> dict[str, Any]:
    return dict(json.loads(message.params))
