"""Steady submissions and webhook deliveries; each is repeated until it is accepted, as a program and Telegram do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tempogram.simulator.server.delivery import SECRET_HEADER

AGAIN_S = 0.2
ANSWER_S = 10.0
CHATS = 5
"""Of each bot."""


@dataclass(slots=True)
class Load:
    """Submits to bots in turn, and delivers updates that the bots echo.

    Attributes:
        url: Of the API.
        tokens: By the id of the bot.
        expected: The text that is to arrive, with the bot that is to send it.
        refused: The status of every answer that was neither an acceptance nor a 503.
    """

    url: str
    admin_token: str
    tokens: dict[int, str]
    secrets: dict[int, str]
    chance: random.Random
    session: aiohttp.ClientSession
    expected: dict[str, int] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    tried_again: int = 0
    _numbers: int = 0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, *, submissions_a_second: float, deliveries_a_second: float) -> None:
        """Go on until ``stop``, and return when all that was begun has been accepted."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._at(submissions_a_second, self._submit))
            group.create_task(self._at(deliveries_a_second, self._deliver))

    def stop(self) -> None:
        self._stopping.set()

    async def _at(self, rate: float, begin: Callable[[int, int], Awaitable[None]]) -> None:
        bot_ids: Sequence[int] = sorted(self.tokens)
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                self._numbers += 1
                group.create_task(self._as_task(begin, self.chance.choice(bot_ids), self._numbers))
                await asyncio.sleep(self.chance.expovariate(rate))

    @staticmethod
    async def _as_task(begin: Callable[[int, int], Awaitable[None]], bot_id: int, number: int) -> None:
        await begin(bot_id, number)

    async def _submit(self, bot_id: int, number: int) -> None:
        text = f"message {number}"
        body = {"bot": str(bot_id), "chat_id": 1 + number % CHATS, "text": text, "dedup_key": text.replace(" ", "-")}
        await self._until_accepted("/messages", body, {"Authorization": f"Bearer {self.admin_token}"})
        self.expected[text] = bot_id

    async def _deliver(self, bot_id: int, number: int) -> None:
        text, chat = f"update {number}", 1 + number % CHATS
        message = {"message_id": number, "chat": {"id": chat}, "from": {"id": chat}, "text": text}
        body = {"update_id": number, "message": message}
        path = f"/webhook/telegram/{self.tokens[bot_id]}"
        await self._until_accepted(path, body, {SECRET_HEADER: self.secrets[bot_id]})
        self.expected[text] = bot_id

    async def _until_accepted(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        while (status := await self._status(path, body, headers)) not in {200, 202}:
            if status not in {None, 503}:
                self.refused.append(status)
            self.tried_again += 1
            await asyncio.sleep(AGAIN_S)

    async def _status(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> int | None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        try:
            async with self.session.post(self.url + path, json=body, headers=headers, timeout=timeout) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None
