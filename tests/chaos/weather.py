"""Telegram's bad days: faults in all forms, ordered at the simulator one after another."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from bot.simulator.client import RunningSimulator
from bot.simulator.faults import Fault

PAUSE_S = 0.4
STATUSES = (500, 502, 503, 504)


@dataclass(slots=True)
class Weather:
    """Orders until it is cancelled."""

    telegram: RunningSimulator
    bots: int
    chance: random.Random

    async def run(self) -> None:
        while True:
            await self.telegram.order(self._fault())
            await asyncio.sleep(self.chance.expovariate(1 / PAUSE_S))

    def _fault(self) -> Fault:
        """Draw one; it strikes the next few calls of one bot, and is over after some seconds."""
        where = {"bot_id": self.chance.randint(1, self.bots), "times": self.chance.randint(1, 3), "for_ms": 3_000}
        return self.chance.choice(
            (
                Fault(kind="429", retry_after_s=1, hold="chat", **where),
                Fault(kind="429", retry_after_s=2, hold="bot", **where),
                Fault(kind="5xx", status=self.chance.choice(STATUSES), **where),
                Fault(kind="reset_before", **where),
                Fault(kind="reset_after", **where),
                Fault(kind="hang", processed=self.chance.random() < 0.5, **where),
                Fault(kind="latency", delay_ms=100, jitter_ms=400, where="both", **where),
            )
        )
