"""What happens on the stage, all of it at once; and what is known of it while it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tempogram.bot.demo.chart import Sample
from tempogram.bot.demo.environment import BOT_IDS, Environment, answer_to, username
from tempogram.bot.demo.judge import Evidence, Expected, Kind, Outage
from tempogram.bot.demo.process import ProcessFailed
from tempogram.bot.demo.progress import Progress
from tempogram.bot.demo.settings import CEILING, URGENT_CHAT, DemoSettings
from tempogram.simulator.client import accepted

LOOK_EVERY_S = 0.25
PATIENCE_S = 30
"""After the last word of the script. Then whatever is missing is lost."""

Say = Callable[[str], None]
Show = Callable[[Progress], None]


class Scenario:
    """One performance."""

    def __init__(self, stage: Environment, script: DemoSettings, *, say: Say, show: Show) -> None:
        self._stage = stage
        self._script = script
        self._say = say
        self._show = show
        self._expected: list[Expected] = []
        self._calls: list[dict[str, Any]] = []
        self._outage: Outage | None = None
        self._engine_is_up = True
        self._speaking = asyncio.Lock()  # nobody is killed in the middle of a request: was it taken or not?
        self.samples: list[Sample] = []
        self.started_at_ms = 0.0

    async def perform(self) -> Evidence:
        """Do everything that stands in the script, wait until it is through, and say what is known then."""
        await self._prepare()
        self.started_at_ms = now_ms()
        async with asyncio.TaskGroup() as parts:
            script = [parts.create_task(part()) for part in (self._submit, self._hurry, self._ask, self._kill)]
            watch = parts.create_task(self._watch())
            await asyncio.wait(script)  # if one fails, the group cancels this
            await self._until_through()
            watch.cancel()
        return await self._evidence()

    async def _prepare(self) -> None:
        telegram, script = self._stage.telegram, self._script
        await telegram.order(script.latency(), *script.failures())
        await telegram.add_user("Zoe", user_id=script.blocked_chat)

    async def _submit(self) -> None:
        """Submit the bulk and the flood at once."""
        script = self._script
        bulk = [
            (BOT_IDS[number % len(BOT_IDS)], script.bulk_chat(number), f"news for {number}")
            for number in range(script.bulk)
        ]
        flood = [(BOT_IDS[0], self._stage.flooded, f"flood #{number}") for number in range(script.flood)]
        await self._send(Kind.BULK, bulk, priority="low")
        await self._send(Kind.FLOOD, flood, priority="normal")
        self._say(f"{script.bulk} low messages and {script.flood} to one group are submitted")
        blocking = {"user": script.blocked_chat, "bot": self._blocked_bot, "member": False}
        await self._stage.telegram.call("POST", "members", blocking)

    async def _hurry(self) -> None:
        """Submit something urgent now and then; while the engine is down, wait for it as a client would."""
        for number in range(self._script.urgent):
            await self._until(self._script.every_s * (number + 0.5))
            bot_id = BOT_IDS[number % len(BOT_IDS)]
            await self._send(Kind.URGENT, [(bot_id, URGENT_CHAT + number, f"urgent {number}")], priority="high")

    async def _ask(self) -> None:
        """Let people mention a bot, and reply to what one has said. They ask on while the engine is down."""
        telegram, friends = self._stage.telegram, self._stage.friends
        for number in range(self._script.questions):
            await self._until(self._script.every_s * (number + 1))
            bot_id, first_name = BOT_IDS[number % len(BOT_IDS)], f"Guest {number}"
            guest = await telegram.add_user(first_name)
            said = self._last_said() if number % 2 else None
            if said is not None:
                bot_id = said["bot_id"]
            asked = Expected(Kind.ANSWER, bot_id, friends, answer_to(first_name), now_ms())
            if said is None:
                await telegram.say(guest, f"@{username(bot_id)}, is anybody there?", chat=friends)
            else:
                await telegram.say(guest, "And what do you say to that?", chat=friends, reply_to=said["message_id"])
            self._expected.append(asked)

    async def _kill(self) -> None:
        engine = self._stage.engine
        await self._until(self._script.kill_at_s)
        async with self._speaking:
            self._engine_is_up = False
            killed_at_ms = now_ms()
            await engine.kill()
            self._say("kill -9: the engine is gone, and starts again on the same books")
            await engine.start()
            self._outage = Outage(killed_at_ms, now_ms())
            self._engine_is_up = True
        self._say(f"the engine is back after {self._outage.took_ms / 1_000:.1f} s")

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        self._calls += await self._stage.telegram.calls(since=len(self._calls))
        waiting = await self._waiting()
        self.samples.append(Sample(now_ms(), waiting))
        arrived = accepted(self._calls)
        self._show(
            Progress(
                at_s=(now_ms() - self.started_at_ms) / 1_000,
                arrived=len({(call["chat_id"], call["text"]) for call in arrived}),
                of=self._script.messages - 1,  # somebody has blocked his bot
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

    async def _until_through(self) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            stats = await self._stats()
            missing = {each.key for each in self._expected} - {
                (call["bot_id"], call["chat_id"], call["text"]) for call in accepted(self._calls)
            }
            if len(missing) <= 1 and not any(count for name, count in stats.items() if name != "dlq"):
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _evidence(self) -> Evidence:
        await self._look()
        assert self._outage is not None, "it was killed, or this is not reached"  # noqa: S101 - an invariant
        return Evidence(
            expected=self._expected,
            calls=self._calls,
            report=await self._stage.telegram.report(),
            stats=await self._stats(),
            outage=self._outage,
            blocked=(self._blocked_bot, self._script.blocked_chat),
            urgent_within_ms=self._script.urgent_within_s * 1_000,
            ceiling=CEILING,
            faults=len(self._script.failures()),
        )

    async def _send(self, kind: Kind, messages: list[tuple[int, int, str]], *, priority: str) -> None:
        batch = [
            {"bot": str(bot_id), "chat_id": chat_id, "text": text, "priority": priority}
            for bot_id, chat_id, text in messages
        ]
        async with self._speaking:
            asked_at_ms = now_ms()
            await self._stage.engine.call("POST", "/messages/batch", batch)
        self._expected += [Expected(kind, *message, asked_at_ms) for message in messages]

    async def _stats(self) -> dict[str, int]:
        stats: dict[str, int] = (await self._stage.engine.stats())["stats"]
        return stats

    @property
    def _blocked_bot(self) -> int:
        number = self._script.blocked_chat - self._script.bulk_chat(0)
        return BOT_IDS[number % len(BOT_IDS)]

    def _last_said(self) -> dict[str, Any] | None:
        """Return the last answer among friends, which the next guest replies to."""
        said = (call for call in reversed(accepted(self._calls)) if call["chat_id"] == self._stage.friends)
        return next(said, None)

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, (self.started_at_ms - now_ms()) / 1_000 + at_s))


def now_ms() -> float:
    """Return the time by the clock that the simulator stamps arrivals with."""
    return time.time() * 1_000
