"""Messages whose waits are judged: from each judged bot in turn, high and normal in turn, at planned instants.

An instant does not depend on how the messages before it fared, so that nothing slow hides itself by being asked less.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count

from tests.chaos.isolation.waits import PRIORITIES
from tests.chaos.load import Load, now_ms
from tests.chaos.plan import Plan


@dataclass(slots=True)
class Probes:
    """Submits until the load is to stop."""

    plan: Plan
    load: Load
    _chats: defaultdict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def run(self) -> None:
        """Submit each when it is due, beside those before it; ends with those under way."""
        began_s = time.monotonic()
        submissions: set[asyncio.Task[None]] = set()
        apart_s = 1 / (self.plan.probes_a_bot_s * len(self.plan.judged_bots))
        for number in count():
            due_s = began_s + number * apart_s
            if await self.load.stops_within(max(0.0, due_s - time.monotonic())):
                break
            late_ms = (time.monotonic() - due_s) * 1_000
            task = asyncio.create_task(self._submit(number, now_ms() - late_ms))
            submissions.add(task)
            task.add_done_callback(submissions.discard)
        await asyncio.gather(*submissions)

    async def _submit(self, number: int, planned_at_ms: float) -> None:
        turn, bot = divmod(number, len(self.plan.judged_bots))
        bot_id = self.plan.judged_bots[bot]
        chats = self.plan.chats_of_probes(bot_id)
        chat_id = chats[turn % len(chats)]
        async with self._chats[chat_id]:  # or a lane might get its messages in another order
            planned = self.load.next_message(bot_id, chat_id, PRIORITIES[(turn + bot) % 2])
            planned.planned_at_ms = planned_at_ms
            await self.load.submit(planned)
