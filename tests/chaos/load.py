"""Submits messages: those of a chat one after another, so that their order is known.

A submission without a clear answer is repeated under the same key until it has one, so that it is known which
messages were accepted.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiohttp import ClientError

from tempogram.bot.demo.process import ADMIN_TOKEN, EngineProcess
from tempogram.engine.model.messages import OPEN, PRIORITIES
from tests.chaos.evidence import MessageEnd, Promised
from tests.chaos.plan import Plan

ANSWER_S = 5.0
BURST_MAX = 6
AGAIN_S = (0.2, 1.0)
BUSY = {429, 503}
ASKED_AT_ONCE = 20
ASKED_EVERY_S = 0.5

SHARES = {"later": 0.05, "expires": 0.05, "once": 0.1, "cancelled": 0.04}
LATER_S = (2.0, 8.0)
EXPIRES_S = (0.5, 6.0)


@dataclass(slots=True)
class PlannedMessage:
    """A message before it is accepted, and the ids that the API gives it."""

    body: dict[str, Any]
    lane: str
    number: int
    is_to_be_cancelled: bool = False
    planned_at_ms: float | None = None
    ids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Load:
    """Submits until ``stop``.

    Attributes:
        refused: Counts what the API refused, by its reason.
        end_states: What the API says of each message in the end.
    """

    plan: Plan
    apis: Sequence[EngineProcess]
    session: aiohttp.ClientSession
    chance: random.Random
    promised: list[Promised] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    tried_again: int = 0
    end_states: dict[str, Any] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: Counter[tuple[int, int, str]] = field(default_factory=Counter)

    async def run(self) -> None:
        """Submit to every chat until ``stop``; returns when all that was submitted has its answer."""
        async with asyncio.TaskGroup() as submitters:
            for bot_id in self.plan.bot_ids:
                for chat_id in self.plan.chats(bot_id):
                    submitters.create_task(self._submit_to(bot_id, chat_id))

    def stop(self) -> None:
        self._stopping.set()

    async def ended(self, *, within_s: float) -> dict[str, MessageEnd]:
        """Ask what became of every message, and ask again for those that are open."""
        until_s = time.monotonic() + within_s
        ended = await self._ask_for([message.message_id for message in self.promised])
        while still_open := [message_id for message_id, each in ended.items() if each.status in OPEN]:
            if time.monotonic() > until_s:
                break
            await asyncio.sleep(ASKED_EVERY_S)
            ended |= await self._ask_for(still_open)
        return ended

    async def _ask_for(self, message_ids: Sequence[str]) -> dict[str, MessageEnd]:
        gate = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(message_id: str) -> tuple[str, MessageEnd]:
            async with gate:
                answer = await self._until_clear("GET", f"/messages/{message_id}")
            if "error" in answer:
                return message_id, MessageEnd("unknown")
            self.end_states[message_id] = answer
            return message_id, MessageEnd(answer["status"], tuple(each["outcome"] for each in answer["attempts"]))

        return dict(await asyncio.gather(*(ask(message_id) for message_id in message_ids)))

    async def _submit_to(self, bot_id: int, chat_id: int) -> None:
        mean_s = self.plan.bots * self.plan.chats_a_bot * (1 + BURST_MAX) / 2 / self.plan.rate
        while not await self.stops_within(self.chance.expovariate(1 / mean_s)):
            planned_messages = [self._plan_message(bot_id, chat_id) for _ in range(self.chance.randint(1, BURST_MAX))]
            if self.chance.random() < 0.5:
                await self.submit_batch(planned_messages)
            else:
                for planned in planned_messages:
                    await self.submit(planned)

    async def stops_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _plan_message(self, bot_id: int, chat_id: int) -> PlannedMessage:
        drawn = {kind: self.chance.random() < share for kind, share in SHARES.items()}
        priority = self.chance.choice(PRIORITIES).value
        planned = self.next_message(bot_id, chat_id, priority, kind="later" if drawn["later"] else priority)
        planned.is_to_be_cancelled = drawn["cancelled"]
        if drawn["later"]:
            planned.lane = ""
            planned.body["send_at"] = round(now_ms() / 1_000 + self.chance.uniform(*LATER_S), 3)
        elif drawn["expires"]:
            planned.body["expires_in_s"] = self.chance.uniform(*EXPIRES_S)
        if drawn["once"]:
            planned.body["delivery"] = "at_most_once"
        return planned

    def next_message(self, bot_id: int, chat_id: int, priority: str, *, kind: str = "") -> PlannedMessage:
        """Return the next message of a lane; ``kind`` tells its text from those of the chat's other messages."""
        kind = kind or priority
        number = self._numbers[bot_id, chat_id, kind]
        self._numbers[bot_id, chat_id, kind] += 1
        text = f"{kind} {number}"
        body = {
            "bot": str(bot_id),
            "chat_id": chat_id,
            "text": text,
            "priority": priority,
            "dedup_key": f"{bot_id}:{chat_id}:{text.replace(' ', '-')}",
        }
        return PlannedMessage(body, priority, number)

    async def submit(self, planned: PlannedMessage) -> None:
        while True:
            status, answer = await self._call("POST", "/messages", planned.body)
            if status in {200, 202}:
                planned.ids.add(answer["id"])
                await self._accepted(planned)
                return
            if self._is_clear(status):
                self.refused[str(answer["error"]["code"])] += 1
                return
            await self._pause()

    async def submit_batch(self, planned_messages: Sequence[PlannedMessage]) -> None:
        """Submit them together; if no answer comes, all of them again."""
        while True:
            status, answers = await self._call(
                "POST", "/messages/batch", [planned.body for planned in planned_messages]
            )
            if self._is_clear(status):
                break
            await self._pause()
        for planned, answer in zip(planned_messages, answers, strict=True):
            if "error" in answer:
                self.refused[answer["error"]] += 1
            else:
                planned.ids.add(answer["id"])
                await self._accepted(planned)

    async def _accepted(self, planned: PlannedMessage) -> None:
        body, expires_in_s = planned.body, planned.body.get("expires_in_s")
        message = Promised(
            ids=frozenset(planned.ids),
            bot_id=int(body["bot"]),
            chat_id=body["chat_id"],
            text=body["text"],
            lane=planned.lane,
            number=planned.number,
            is_at_most_once="delivery" in body,
            expires_at_ms=None if expires_in_s is None else now_ms() + expires_in_s * 1_000,
            planned_at_ms=planned.planned_at_ms,
        )
        if planned.is_to_be_cancelled:
            status, _ = await self._call("DELETE", f"/messages/{message.message_id}")
            if status == 200:
                message = replace(message, cancelled_at_ms=now_ms())
        self.promised.append(message)

    async def _until_clear(self, method: str, path: str) -> Any:
        while True:
            status, answer = await self._call(method, path)
            if self._is_clear(status):
                return answer
            await self._pause()

    async def _pause(self) -> None:
        self.tried_again += 1
        await asyncio.sleep(self.chance.uniform(*AGAIN_S))

    @staticmethod
    def _is_clear(status: int) -> bool:
        """Tell whether an answer leaves no doubt; 0 stands for none."""
        return bool(status) and status < 500 and status not in BUSY

    async def _call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Make one call to one of the API processes; 0 if no answer came."""
        url = self.chance.choice(self.apis).url + path
        try:
            async with self.session.request(method, url, json=body) as response:
                return response.status, await response.json()
        except (ClientError, TimeoutError, OSError):
            return 0, None


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        timeout=aiohttp.ClientTimeout(total=ANSWER_S),
        connector=aiohttp.TCPConnector(limit=ASKED_AT_ONCE),
    )


def now_ms() -> float:
    return time.time() * 1_000
