"""What happens in a demo, all at once, and the record of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tempogram.bot.demo import prices
from tempogram.bot.demo.chart import Sample
from tempogram.bot.demo.environment import BOT_IDS, Environment, answer_to, username
from tempogram.bot.demo.judge import Evidence, Expected, Kind, Outage
from tempogram.bot.demo.process import ProcessFailed
from tempogram.bot.demo.progress import Progress
from tempogram.bot.demo.settings import CAST_CHAT, CEILING, URGENT_CHAT, WATCHING_CHAT, DemoSettings
from tempogram.simulator.client import accepted

LOOK_EVERY_S = 0.25
PATIENCE_S = 30
"""How long to wait for missing messages at the end; then they count as lost. Without an act the demo fails then."""

CASTER, WATCHER = BOT_IDS[-1], BOT_IDS[0]

WATCH_TASKS = (f"tempogram.watches.{prices.SOURCE}", "tempogram.watch-digests")

Say = Callable[[str], None]
Show = Callable[[Progress], None]


class Scenario:
    """One run of the demo."""

    def __init__(self, environment: Environment, settings: DemoSettings, *, say: Say, show: Show) -> None:
        self._environment = environment
        self._settings = settings
        self._say = say
        self._show = show
        self._expected: list[Expected] = []
        self._calls: list[dict[str, Any]] = []
        self._outage: Outage | None = None
        self._engine_is_up = True
        self._requesting = asyncio.Lock()  # no kill in the middle of a request, whose outcome would be unknown
        self._broadcast_id = 0
        self.samples: list[Sample] = []
        self.started_at_ms = 0.0

    async def run(self) -> Evidence:
        """Run every part, wait until all messages have arrived, and return the evidence."""
        await self._prepare()
        self.started_at_ms = now_ms()
        async with asyncio.TaskGroup() as parts:
            tasks = [parts.create_task(part()) for part in (self._submit, self._submit_urgent, self._ask, self._kill)]
            watch = parts.create_task(self._watch())
            await asyncio.wait(tasks)  # if one fails, the group cancels this
            await self._wait_until_done()
            watch.cancel()
        return await self._evidence()

    async def _prepare(self) -> None:
        telegram, settings = self._environment.telegram, self._settings
        await telegram.order(settings.latency(), *settings.failures())
        await telegram.add_user("Zoe", user_id=settings.blocked_chat)
        await self._prepare_broadcast()
        await self._prepare_watches()

    async def _prepare_broadcast(self) -> None:
        call, chats = self._environment.engine.call, self._chats(CAST_CHAT, self._settings.cast)
        await call(
            "POST", f"/bots/{CASTER}/chats/import", lines=[{"chat_id": each, "tags": ["cast"]} for each in chats]
        )
        wanted = {"name": "demo", "bot": str(CASTER), "text": cast_to("{chat_id}"), "selection": {"tags": ["cast"]}}
        self._broadcast_id = (await call("POST", "/broadcasts", wanted))["id"]

    async def _prepare_watches(self) -> None:
        """Let chats watch prices, and wait until these are known."""
        call, keys = self._environment.engine.call, list(prices.BEFORE)
        for task in WATCH_TASKS:
            await call("PATCH", f"/tasks/{task}", {"interval_s": 1})
        for chat_id in self._chats(WATCHING_CHAT, self._settings.watching):
            for key in keys:
                wanted = {"bot": str(WATCHER), "chat_id": chat_id, "source": prices.SOURCE, "key": key}
                await call("PUT", "/watches/subscriptions", wanted)
        self._say(f"{self._settings.watching} chats watch {len(keys)} prices")

    async def _until_prices_are_known(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                page = await self._environment.engine.call("GET", f"/watches/items?source={prices.SOURCE}")
                if all(each["fields"] is not None for each in page["items"]):
                    return
                await asyncio.sleep(LOOK_EVERY_S)

    async def _start_broadcast(self) -> None:
        """Start it, and wait until it is in the queue: so it is before the bulk, and in the middle at the kill."""
        chats = self._chats(CAST_CHAT, self._settings.cast)
        async with self._requesting:
            await self._environment.engine.call("POST", f"/broadcasts/{self._broadcast_id}/start", {})
            self._expected += [Expected(Kind.BROADCAST, CASTER, each, cast_to(each), now_ms()) for each in chats]
            await self._until_broadcast_has_begun()
        self._say(f"a broadcast to {len(chats)} chats is started")

    async def _until_broadcast_has_begun(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                shown = await self._broadcast()
                if shown["waiting"] < shown["recipients"]:
                    return
                await asyncio.sleep(LOOK_EVERY_S)

    @staticmethod
    def _chats(first: int, number: int) -> range:
        return range(first, first + number)

    async def _submit(self) -> None:
        """Start the broadcast, and submit the bulk and the flood at once."""
        settings = self._settings
        await self._start_broadcast()
        bulk = [
            (BOT_IDS[number % len(BOT_IDS)], settings.bulk_chat(number), f"news for {number}")
            for number in range(settings.bulk)
        ]
        flood = [(BOT_IDS[0], self._environment.flooded, f"flood #{number}") for number in range(settings.flood)]
        await self._send(Kind.BULK, bulk, priority="low")
        await self._send(Kind.FLOOD, flood, priority="normal")
        self._say(f"{settings.bulk} low messages and {settings.flood} to one group are submitted")
        blocking = {"user": settings.blocked_chat, "bot": self._blocked_bot, "member": False}
        await self._environment.telegram.call("POST", "members", blocking)

    async def _submit_urgent(self) -> None:
        """Submit urgent messages regularly; while the engine is down, wait for it as a client would."""
        for number in range(self._settings.urgent):
            await self._wait_until(self._settings.every_s * (number + 0.5))
            bot_id = BOT_IDS[number % len(BOT_IDS)]
            await self._send(Kind.URGENT, [(bot_id, URGENT_CHAT + number, f"urgent {number}")], priority="high")

    async def _ask(self) -> None:
        """Let users mention a bot and reply to one, also while the engine is down."""
        telegram, friends = self._environment.telegram, self._environment.friends
        for number in range(self._settings.questions):
            await self._wait_until(self._settings.every_s * (number + 1))
            bot_id, first_name = BOT_IDS[number % len(BOT_IDS)], f"Guest {number}"
            guest = await telegram.add_user(first_name)
            said = self._last_answer() if number % 2 else None
            if said is not None:
                bot_id = said["bot_id"]
            asked = Expected(Kind.ANSWER, bot_id, friends, answer_to(first_name), now_ms())
            if said is None:
                await telegram.say(guest, f"@{username(bot_id)}, are you there?", chat=friends)
            else:
                await telegram.say(guest, "And what do you say to that?", chat=friends, reply_to=said["message_id"])
            self._expected.append(asked)

    async def _kill(self) -> None:
        engine = self._environment.engine
        await self._until_prices_are_known()
        await self._wait_until(self._settings.kill_at_s)
        async with self._requesting:
            self._engine_is_up = False
            killed_at_ms = now_ms()
            await engine.kill()
            self._say("kill -9: the engine is gone, and restarts on the same database")
            self._change_prices()
            await engine.start()
            self._outage = Outage(killed_at_ms, now_ms())
            self._engine_is_up = True
        self._say(f"the engine is back after {self._outage.took_ms / 1_000:.1f} s")

    def _change_prices(self) -> None:
        prices.let_an_hour_pass(self._environment.directory)
        watching = self._chats(WATCHING_CHAT, self._settings.watching)
        self._expected += [Expected(Kind.DIGEST, WATCHER, each, prices.DIGEST, now_ms()) for each in watching]
        self._say("meanwhile the watched prices change, and the engine is to believe that an hour has passed")

    async def _watch(self) -> None:
        while True:
            await self._sample()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _sample(self) -> None:
        self._calls += await self._environment.telegram.calls(since=len(self._calls))
        waiting = await self._waiting()
        self.samples.append(Sample(now_ms(), waiting))
        arrived = accepted(self._calls)
        self._show(
            Progress(
                at_s=(now_ms() - self.started_at_ms) / 1_000,
                arrived=len({(call["chat_id"], call["text"]) for call in arrived}),
                of=self._settings.messages - 1,  # one user has blocked the bot
                last_second=sum(call["wall_ms"] > now_ms() - 1_000 for call in arrived),
                ceiling=CEILING,
                waiting=waiting,
            )
        )

    async def _waiting(self) -> dict[str, int] | None:
        try:
            return await self._stats()
        except ProcessFailed:
            if self._engine_is_up:
                raise
            return None

    async def _wait_until_done(self) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            stats = await self._stats()
            missing = {each.key for each in self._expected if each.kind is not Kind.BROADCAST} - {
                (call["bot_id"], call["chat_id"], call["text"]) for call in accepted(self._calls)
            }
            is_done = (await self._broadcast())["state"] == "done"
            if is_done and len(missing) <= 1 and not any(count for name, count in stats.items() if name != "dlq"):
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _evidence(self) -> Evidence:
        await self._sample()
        assert self._outage is not None, "the kill was one of the parts"  # noqa: S101 - an invariant
        return Evidence(
            expected=self._expected,
            calls=self._calls,
            report=await self._environment.telegram.report(),
            stats=await self._stats(),
            broadcast=await self._broadcast(),
            outage=self._outage,
            blocked=(self._blocked_bot, self._settings.blocked_chat),
            urgent_within_ms=self._settings.urgent_within_s * 1_000,
            ceiling=CEILING,
            faults=len(self._settings.failures()),
        )

    async def _send(self, kind: Kind, messages: list[tuple[int, int, str]], *, priority: str) -> None:
        batch = [
            {"bot": str(bot_id), "chat_id": chat_id, "text": text, "priority": priority}
            for bot_id, chat_id, text in messages
        ]
        async with self._requesting:
            asked_at_ms = now_ms()
            await self._environment.engine.call("POST", "/messages/batch", batch)
        self._expected += [Expected(kind, *message, asked_at_ms) for message in messages]

    async def _broadcast(self) -> dict[str, Any]:
        shown: dict[str, Any] = await self._environment.engine.call("GET", f"/broadcasts/{self._broadcast_id}")
        return shown

    async def _stats(self) -> dict[str, int]:
        stats: dict[str, int] = (await self._environment.engine.stats())["stats"]
        return stats

    @property
    def _blocked_bot(self) -> int:
        number = self._settings.blocked_chat - self._settings.bulk_chat(0)
        return BOT_IDS[number % len(BOT_IDS)]

    def _last_answer(self) -> dict[str, Any] | None:
        """Return the last answer in the group ``friends``, which the next guest replies to."""
        said = (call for call in reversed(accepted(self._calls)) if call["chat_id"] == self._environment.friends)
        return next(said, None)

    async def _wait_until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, (self.started_at_ms - now_ms()) / 1_000 + at_s))


def cast_to(chat: object) -> str:
    return f"spring for {chat}"


def now_ms() -> float:
    """Return the time by the simulator's clock."""
    return time.time() * 1_000
