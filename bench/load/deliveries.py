"""Brings updates to webhooks at their planned instants, as Telegram would."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from bench.load.plan import PlannedUpdate
from tempogram.simulator.server.delivery import SECRET_HEADER, redelivery_delay_ms

CONNECTIONS = 40
"""For each bot; what our setWebhook asks for."""

AGAIN_MS, AGAIN_MS_MAX = 2_000, 60_000
ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where one bot wants its updates, as Telegram was asked."""

    url: str
    secret: str
    username: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """One update that was taken. Both times are counted from its planned instant.

    Attributes:
        late_ms: When the load came to it.
        taken_ms: When its 200 had come.
        tries: 1 if the first was taken.
    """

    update: PlannedUpdate
    late_ms: float
    taken_ms: float
    tries: int


@dataclass(slots=True)
class Deliveries:
    """Begins each update when it is due, whatever became of those before it.

    Attributes:
        began_ms: When the plan began, by the monotonic clock that all processes of a machine share.
    """

    webhooks: Mapping[int, Webhook]
    session: aiohttp.ClientSession
    began_ms: float = 0.0
    _chats: defaultdict[tuple[int, int], asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _free: defaultdict[int, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(CONNECTIONS))
    )

    async def run(self, updates: Sequence[PlannedUpdate]) -> list[Delivered]:
        """Deliver all; returns when the last was taken."""
        self.began_ms = monotonic_ms()
        deliveries = []
        for update in updates:
            await asyncio.sleep(max(0.0, -self._since_due_ms(update)) / 1_000)
            deliveries.append(asyncio.create_task(self._deliver(update, self._since_due_ms(update))))
        return list(await asyncio.gather(*deliveries))

    def _since_due_ms(self, update: PlannedUpdate) -> float:
        return monotonic_ms() - self.began_ms - update.due_ms

    async def _deliver(self, update: PlannedUpdate, late_ms: float) -> Delivered:
        tries = 1
        async with self._chats[update.bot_id, update.chat_id]:
            while not await self._is_taken(update):
                await asyncio.sleep(redelivery_delay_ms(tries, base_ms=AGAIN_MS, cap_ms=AGAIN_MS_MAX) / 1_000)
                tries += 1
        return Delivered(update, late_ms, self._since_due_ms(update), tries)

    async def _is_taken(self, update: PlannedUpdate) -> bool:
        webhook = self.webhooks[update.bot_id]
        body = update.body(webhook.username, now_s=int(time.time()))
        headers = {SECRET_HEADER: webhook.secret}
        try:
            async with (
                self._free[update.bot_id],
                self.session.post(webhook.url, json=body, headers=headers) as response,
            ):
                await response.read()
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


def delivering_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=ANSWER_S))


def monotonic_ms() -> float:
    return time.monotonic_ns() / 1e6
