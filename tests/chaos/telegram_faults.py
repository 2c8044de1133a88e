"""Lets Telegram fail: faults of every kind, ordered at the simulator one after another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tempogram.simulator.client import RunningSimulator
from tempogram.simulator.limits.faults import Fault
from tests.chaos.evidence import Trouble
from tests.chaos.load import now_ms

PAUSE_OF_A_BOT_S = 8.0
"""Between two faults of one bot, on an average."""

FOR_MS = 3_000
STATUSES: tuple[Literal[500, 502, 503, 504], ...] = (500, 502, 503, 504)


@dataclass(slots=True)
class TelegramFaults:
    """Orders faults of some bots until it is cancelled, and notes which may have had one."""

    telegram: RunningSimulator
    bot_ids: Sequence[int]
    chance: random.Random
    ordered: list[Trouble] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            fault, from_ms = self._fault(), now_ms()
            assert fault.bot_id is not None
            bot_ids = frozenset({fault.bot_id})
            self.ordered.append(Trouble(act=None, from_ms=from_ms, until_ms=from_ms + FOR_MS, bot_ids=bot_ids))
            await self.telegram.order(fault)
            await asyncio.sleep(self.chance.expovariate(len(self.bot_ids) / PAUSE_OF_A_BOT_S))

    def _fault(self) -> Fault:
        """Draw a fault that strikes the next few calls of one bot, and is over after some seconds."""
        drawn = self.chance.choice(
            (
                Fault(kind="429", retry_after_s=1, hold="chat"),
                Fault(kind="429", retry_after_s=2, hold="bot"),
                Fault(kind="5xx", status=self.chance.choice(STATUSES)),
                Fault(kind="reset_before"),
                Fault(kind="reset_after"),
                Fault(kind="hang", processed=self.chance.random() < 0.5),
                Fault(kind="latency", delay_ms=100, jitter_ms=400, where="both"),
            )
        )
        bot_id, times = self.chance.choice(self.bot_ids), self.chance.randint(1, 3)
        return replace(drawn, bot_id=bot_id, times=times, for_ms=FOR_MS)
