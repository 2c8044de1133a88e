"""Disturbs processes and servers: one act after another, drawn from a shuffled deck that holds each once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.chaos.evidence import OF_ALL_BOTS, Act, Disturbance
from tests.chaos.isolation.troubles import AT_TELEGRAM, Troubles
from tests.chaos.isolation.waits import OWN_AFTERMATH_MS
from tests.chaos.load import now_ms
from tests.chaos.plan import Plan
from tests.chaos.processes import Processes, SupervisedProcess
from tests.chaos.proxy import Proxy
from tests.chaos.servers import OwnPostgres, OwnRedis

CALM_BEFORE_S, CALM_AFTER_S = 4.0, 7.0
"""Nothing else happens around an emptied Redis, so that its recovery can be timed."""

SERVERS = "servers"
AWAY_S = (0.2, 2.0)
CUT_OFF_S = (0.5, 6.0)


@dataclass(slots=True)
class Disturber:
    """Draws acts and performs them. ``say`` gets each act as it begins."""

    plan: Plan
    processes: Processes
    redis: OwnRedis | None
    postgres: OwnPostgres
    troubles: Troubles
    chance: random.Random
    say: Callable[[str], None]
    performed: list[Disturbance] = field(default_factory=list)
    _deck: list[Act] = field(default_factory=list)
    _under_way: dict[asyncio.Task[None], str] = field(default_factory=dict)

    async def run(self) -> None:
        """Perform until cancelled; then undo what is still under way."""
        try:
            while True:
                await asyncio.sleep(self.chance.expovariate(1 / self.plan.pause_s))
                await self._begin(self._draw())
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _draw(self) -> Act:
        if not self._deck:
            self._deck = [act for act in self.plan.acts if self.redis is not None or "REDIS" not in act.name]
            self.chance.shuffle(self._deck)
        return self._deck.pop()

    async def _begin(self, act: Act) -> None:
        """Start an act beside those under way; one at a time for each process, and for the servers."""
        if act in AT_TELEGRAM:
            await self._trouble(act)
            return
        if act is Act.REDIS_FLUSHED:
            await self._finish()
            await asyncio.sleep(CALM_BEFORE_S)
            await self._perform(act, "", self._flush)
            await asyncio.sleep(CALM_AFTER_S)
            return
        free = [member for member in self.processes.members if member.name not in self._under_way.values()]
        is_of_member = act in ON_CONNECTIONS or act in {Act.KILLED, Act.FROZEN}
        if is_of_member and free:
            member = self.chance.choice(free)
            self._start(member.name, self._perform(act, member.name, lambda: self._to_member(act, member)))
        elif not is_of_member and SERVERS not in self._under_way.values():
            self._start(SERVERS, self._perform(act, "", lambda: self._to_server(act)))
        else:
            self._deck.insert(0, act)

    async def _trouble(self, act: Act) -> None:
        """Let Telegram fail some bots while nothing else happens, nor has happened just before."""
        await self._finish()
        ends_ms = [each.until_ms for each in self.performed]
        await asyncio.sleep(max([0.0, *ends_ms]) / 1_000 + self.plan.terms.aftermath_ms / 1_000 - now_ms() / 1_000)
        self.say(act.value)
        await self.troubles.perform(act)
        if act in OF_ALL_BOTS:  # or there would be no bot without a trouble of its own in the next act
            await asyncio.sleep(self.plan.trouble_s + OWN_AFTERMATH_MS / 1_000)

    def _start(self, name: str, performance: Awaitable[None]) -> None:
        task = asyncio.ensure_future(performance)
        self._under_way[task] = name
        task.add_done_callback(lambda done: self._under_way.pop(done, None))

    async def _finish(self) -> None:
        if self._under_way:
            await asyncio.wait(list(self._under_way))

    async def _perform(self, act: Act, target: str, do: Callable[[], Awaitable[None]]) -> None:
        from_ms = now_ms()
        self.say(f"{target or 'all'}: {act.value}")
        try:
            await do()
        finally:
            self.performed.append(Disturbance(act, target, from_ms, now_ms()))

    async def _to_member(self, act: Act, member: SupervisedProcess) -> None:
        if act is Act.KILLED:
            await member.kill()
        elif act is Act.FROZEN:
            await member.freeze(2 * self.plan.terms.lease_ms / 1_000)
        else:
            proxy_of, harm = ON_CONNECTIONS[act]
            harm(proxy_of(member))
            try:
                if harm is not Proxy.cut:
                    await asyncio.sleep(self.chance.uniform(*CUT_OFF_S))
            finally:
                proxy_of(member).mend()

    async def _to_server(self, act: Act) -> None:
        if act in {Act.POSTGRES_RESTARTED, Act.POSTGRES_CRASHED}:
            # Not cancelled half-way: without its server the run could not be judged.
            await asyncio.shield(self.postgres.restart(crash=act is Act.POSTGRES_CRASHED))
            return
        assert self.redis is not None
        if act is Act.REDIS_REWOUND:
            self.redis.keep_copy()
            await asyncio.sleep(self.chance.uniform(*AWAY_S))
        await self.redis.kill()
        try:
            await asyncio.sleep(self._away_s(act))
        finally:
            if act is Act.REDIS_REWOUND:
                self.redis.take_copy()
            elif act is Act.REDIS_EMPTIED:
                self.redis.forget()
            await asyncio.shield(self.redis.start())

    def _away_s(self, act: Act) -> float:
        if act is Act.REDIS_AWAY:
            return self.plan.terms.lease_ms / 1_000 * self.chance.uniform(1.5, 3)
        return self.chance.uniform(*AWAY_S)

    async def _flush(self) -> None:
        assert self.redis is not None
        await self.redis.flush()


ON_CONNECTIONS: dict[Act, tuple[Callable[[SupervisedProcess], Proxy], Callable[[Proxy], None]]] = {
    Act.REDIS_CUT: (lambda member: member.redis, Proxy.cut),
    Act.REDIS_UNREACHABLE: (lambda member: member.redis, Proxy.break_off),
    Act.REDIS_SILENT: (lambda member: member.redis, Proxy.stall),
    Act.POSTGRES_CUT: (lambda member: member.postgres, Proxy.cut),
    Act.POSTGRES_UNREACHABLE: (lambda member: member.postgres, Proxy.break_off),
    Act.POSTGRES_SILENT: (lambda member: member.postgres, Proxy.stall),
}
