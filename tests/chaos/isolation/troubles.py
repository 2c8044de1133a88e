"""Lets the calls of some bots hang or fail at Telegram's end for a while, or of all; they have much to send then."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tempogram.simulator.client import RunningSimulator
from tempogram.simulator.limits.faults import Fault
from tests.chaos.evidence import OF_ALL_BOTS, Act, Trouble
from tests.chaos.load import Load, now_ms
from tests.chaos.plan import Plan
from tests.chaos.proxy import Proxy

FAULTS: dict[Act, Fault] = {
    Act.BOT_HANGS: Fault(kind="hang"),
    Act.BOTS_HANG: Fault(kind="hang"),
    Act.BOT_FAILS: Fault(kind="5xx", status=500),
    Act.CHATS_FAIL: Fault(kind="5xx", status=500),
    Act.BOT_RESET: Fault(kind="reset_before"),
    Act.HOST_HANGS: Fault(kind="hang"),
}
"""Each for all calls that send, until it is removed."""

AT_TELEGRAM = {*FAULTS, Act.HOST_REFUSES}

BACKLOG = 150
"""Submitted at the beginning, of the bots with trouble together."""


@dataclass(slots=True)
class Troubles:
    """Performs one act at a time."""

    plan: Plan
    telegram: RunningSimulator
    to_telegram: Proxy
    load: Load
    chance: random.Random
    performed: list[Trouble] = field(default_factory=list)
    _pressing: list[asyncio.Task[None]] = field(default_factory=list)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def finish(self) -> None:
        """Wait until all backlogs are submitted: it must be known which messages were accepted."""
        await asyncio.gather(*self._pressing)

    async def perform(self, act: Act) -> None:
        """Begin an act, let its bots have much to send, and undo it after ``trouble_s``."""
        bot_ids = self._bots(act)
        chat_ids = self._chats(bot_ids) if act is Act.CHATS_FAIL else []
        from_ms = now_ms()
        ordered = await self._begin(act, bot_ids, chat_ids)
        self._pressing.append(asyncio.create_task(self._press(bot_ids, chat_ids)))
        try:
            await asyncio.sleep(self.plan.trouble_s)
        finally:
            self.performed.append(
                Trouble(
                    act=act,
                    from_ms=from_ms,
                    until_ms=now_ms(),
                    bot_ids=frozenset(bot_ids),
                    chat_ids=frozenset(chat_ids),
                )
            )
            await asyncio.shield(self._end(act, ordered))

    def _bots(self, act: Act) -> list[int]:
        if act in OF_ALL_BOTS:
            return list(self.plan.bot_ids)
        return self.chance.sample(self.plan.bot_ids, self.plan.bots // 2 if act is Act.BOTS_HANG else 1)

    def _chats(self, bot_ids: list[int]) -> list[int]:
        """Return some of a bot's chats: half of those that get a backlog."""
        (bot_id,) = bot_ids
        chats = self.plan.chats_of_backlog(bot_id)
        return self.chance.sample(chats, len(chats) // 2)

    async def _begin(self, act: Act, bot_ids: list[int], chat_ids: list[int]) -> list[int]:
        if act is Act.HOST_REFUSES:
            await self.to_telegram.refuse()
            return []
        return await self.telegram.order(*faults(act, bot_ids, chat_ids))

    async def _end(self, act: Act, ordered: list[int]) -> None:
        if act is Act.HOST_REFUSES:
            await self.to_telegram.listen()
        for fault_id in ordered:
            with suppress(ValueError):  # all faults have been ended meanwhile
                await self.telegram.call("DELETE", f"faults?id={fault_id}")

    async def _press(self, bot_ids: list[int], chat_ids: list[int]) -> None:
        """Submit a backlog to the chats with trouble; one message to each in turn."""
        async with self._one_at_a_time:  # or a lane might get its messages in another order
            for bot_id in bot_ids:
                chats = chat_ids or self.plan.chats_of_backlog(bot_id)
                planned = [
                    self.load.next_message(bot_id, chats[number % len(chats)], "normal")
                    for number in range(BACKLOG // len(bot_ids))
                ]
                await self.load.submit_batch(planned)


def faults(act: Act, bot_ids: list[int], chat_ids: list[int]) -> list[Fault]:
    """Return one rule for each chat, or for each bot."""
    if chat_ids:
        return [replace(FAULTS[act], bot_id=bot_id, chat_id=chat_id) for bot_id in bot_ids for chat_id in chat_ids]
    return [replace(FAULTS[act], bot_id=bot_id) for bot_id in bot_ids]
