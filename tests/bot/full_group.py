"""Ordinary aiogram code in a chat that has no place left: real engine, a Telegram that keeps its messages, a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiogram import Bot

from tempogram.engine.limits.limits import Limit, Limits
from tests.bot.chats import Chats, ChatTransport
from tests.bot.fakes import TOKEN, DirectSession
from tests.bot.gateways import desk_gateway, parked_messages_of, under_every_bot
from tests.bot.memory_handles import MemoryHandles
from tests.engine.desk import UNLIMITED, Desk, turns

GROUP = -1005
ONE_A_MINUTE = replace(UNLIMITED, group=Limit(1, 60_000))
TWO_A_MINUTE = replace(UNLIMITED, group=Limit(2, 60_000))


class FullGroup:
    """A bot, its engine, and what its users see. Time passes as long as something waits for it."""

    def __init__(self, desk: Desk, *, wait_s: float | None) -> None:
        self.desk = desk
        assert isinstance(desk.transport, ChatTransport)
        self.chats = desk.transport.chats = Chats()
        self.direct = DirectSession()
        self.handles = desk.transport.handles = MemoryHandles(desk.ledger)
        self.parked = parked_messages_of(desk, self.handles)
        desk.park = self.parked.park
        self.gateway = desk_gateway(desk, worker=desk.worker, wait_s=wait_s, handles=self.handles)
        self.bot = Bot(TOKEN, session=self.direct)

    async def work(self) -> None:
        """Send everything that may go now, and what waited for it."""
        await self.desk.work()
        while await self.parked.release():
            await self.desk.work()

    async def end(self, *calls: Awaitable[Any], step_ms: int = 500) -> list[Any]:
        """Let time pass until these calls have returned, and return what they did."""
        tasks = [asyncio.ensure_future(call) for call in calls]
        for _ in range(20_000):
            await turns()
            await self.work()
            if all(task.done() for task in tasks):
                break
            self.desk.clock.advance(step_ms)
        return [task.result() for task in tasks]


@asynccontextmanager
async def full_group(*, limits: Limits = ONE_A_MINUTE, wait_s: float | None = None) -> AsyncIterator[FullGroup]:
    group = FullGroup(Desk(limits=limits, transport=ChatTransport), wait_s=wait_s)
    with under_every_bot(group.gateway):
        for _ in range(limits.group.count):
            await group.end(group.bot.send_message(GROUP, "the last place"))
        yield group
