"""Clients that know nothing of us, through the Bot API door and with limiters of their own.

Question    Do python-telegram-bot and grammY send a broadcast of 600 through the door with full use of the limit, no
            429 seen by the client and none lost at a kill -9, beside their own limiters (AIORateLimiter, the throttler
            with auto-retry) in the same run?
Workload    600 private chats, one bot. All at once with a patience of 60 s; 60 at a time with every default; all at
            once with every default, by a client that comes back when it is asked to; all at once with a kill -9 of
            Tempogram at 8 s and a restart. The limiters have the first of these, and a kill -9 of the client.
Measured    At one simulator, emptied before each: arrivals, answers. What the client saw is its own count.
Not measured  Starting up; a client's own CPU; more than one client.
Checked     Through the door every message arrives, Telegram answers no 429, no window is broken; without an order to
            come back no client sees a 429; after the kill as many calls of the client were answered or broke off as it
            made, and no more arrived twice than were under way.

    python -m bench.door [--clients ptb,grammy] [--ways "comes back"]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from bench.clean_exit import run_and_clean_up
from bench.environments import Environments, environments
from bench.harness import Checks, Engine, engine, machine, token
from bench.peer_workloads import WORKLOADS, Run
from bench.peers import NEVER_GROWS, SCRIPTS, measure, prepare, script, table
from tempogram.simulator.client import RunningSimulator, running_simulator

CLIENTS = {"ptb": "python-telegram-bot", "grammy": "grammY"}
DOOR_SCRIPTS = {"ptb": "ptb_door.py", "grammy": "grammy_door.mjs"}
LIMITERS = {"ptb": "AIORateLimiter", "grammy": "throttler + auto-retry"}
PATIENT_S, READ_S = 60, 120
KILL_AT_S = 8
DEADLINE_S = 90
START_TIMEOUT_S = 60
UNDER_WAY_MAX = 10
"""Calls to Telegram that a kill can cut off: at 30 a second they take milliseconds."""

ONE_BOT, KILLED = (next(one for one in WORKLOADS if one.name == name) for name in ("one_bot", "killed"))


@dataclass(frozen=True, slots=True)
class Way:
    """How a broadcast goes through the door.

    Attributes:
        wait_s: The door's patience; 3 is the default.
        at_once: Calls that the client makes at once; 0: all.
        read_s: How long python-telegram-bot waits for an answer; 0: its default, 5 s. (grammY waits for 500.)
        obeys: The client comes back when it is asked to.
    """

    title: str
    wait_s: int = 3
    at_once: int = 0
    read_s: int = 0
    obeys: bool = False
    is_killed: bool = False

    def plan(self, url: str) -> dict[str, Any]:
        return {
            "url": url,
            "token": token(1),
            "at_once": self.at_once,
            "read_s": self.read_s,
            "obeys": self.obeys,
            "messages": [{"chat_id": one.chat_id, "text": one.text} for one in ONE_BOT.plan],
        }


WAYS = (
    Way("all at once, patience 60 s", PATIENT_S, read_s=READ_S),
    Way("60 at a time, every default", at_once=60),
    Way("all at once, every default, comes back as asked", obeys=True),
    Way("all at once, patience 60 s, kill -9 of Tempogram at 8 s", PATIENT_S, read_s=READ_S, is_killed=True),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What arrived, and what the client counted."""

    run: Run
    client: dict[str, int]

    @property
    def use(self) -> float:
        """Of the limit; see ``Run.use_in``."""
        return self.run.use_in(self.run.took_s)

    @property
    def cell(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.client.items() if count)
        twice = f", {self.run.report.duplicates} twice" if self.run.report.duplicates else ""
        return (
            f"{self.run.took_s:.1f} s, {self.use:.0%} of the limit, {self.run.throttled} × 429 by Telegram, "  # noqa: RUF001 - as it is printed
            f"{self.run.lost} lost{twice}" + (f"; the client: {counts}" if counts else "")
        )


@asynccontextmanager
async def client(command: list[str], plan: dict[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a client, and wait until it is ready."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(plan).encode() + b"\n")
        ready = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        assert ready == b"ready\n", f"{command[-1]} did not start"
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def through_door(places: Environments, telegram: RunningSimulator, name: str, way: Way) -> Seen:
    async with engine(telegram.url, [token(1)], BOT_API_DOOR="true", BOT_API_DOOR_WAIT=str(way.wait_s)) as tempogram:
        async with client(places.command(DOOR_SCRIPTS[name]), way.plan(tempogram.url)) as process:
            await prepare(telegram, ONE_BOT)
            start_ms = time.time() * 1_000
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"go\n")
            if way.is_killed:
                await asyncio.sleep(KILL_AT_S)
                await tempogram.kill()
                await tempogram.start()
            counted = json.loads(await asyncio.wait_for(process.stdout.readline(), DEADLINE_S))
            is_done = await _is_sent(tempogram)
        return Seen(
            Run(
                planned=ONE_BOT.plan,
                calls=await telegram.calls(),
                report=await telegram.report(),
                start_ms=start_ms,
                done=is_done,
                deadline_s=DEADLINE_S,
                claimed=counted.get("sent", 0),
                cpu_s=None,
            ),
            counted,
        )


async def _is_sent(tempogram: Engine) -> bool:
    await tempogram.begun()
    return await tempogram.drained(within_s=DEADLINE_S)


async def by_limiter(places: Environments, telegram: RunningSimulator, name: str, *, is_killed: bool) -> Seen:
    workload = KILLED if is_killed else ONE_BOT
    async with script(places.command(SCRIPTS[name]), telegram, workload) as peer:
        return Seen(await measure(peer, telegram, workload, DEADLINE_S), {})


def check(checks: Checks, name: str, way: Way, seen: Seen) -> None:
    what = f"{name}, {way.title}: "
    made = len(ONE_BOT.plan)
    checks.that(seen.run.lost == 0, f"{what}{seen.run.lost} lost")
    checks.that(seen.run.report.broke_no_window, f"{what}no window broken")
    checks.that(seen.run.throttled == 0, f"{what}Telegram answered {seen.run.throttled} calls with 429")
    if not way.obeys:
        checks.that(not seen.client.get("throttled"), f"{what}the client saw no 429")
    if way.is_killed:
        answered = sum(seen.client.get(each, 0) for each in ("sent", "broken"))
        checks.that(answered == made, f"{what}{answered} of {made} calls were answered or broke off")
        checks.that(seen.run.report.duplicates <= UNDER_WAY_MAX, f"{what}{seen.run.report.duplicates} twice")
        return
    checks.that(seen.client.get("sent") == made, f"{what}the client counts {seen.client.get('sent')} sent")
    checks.that(seen.run.report.duplicates == 0, f"{what}none twice")
    if way.obeys:
        asked = seen.client.get("throttled", 0)
        checks.that(asked <= made, f"{what}asked to come back {asked} times, once for each at most")
    checks.that(seen.use >= (0.9 if way.obeys else 0.97), f"{what}{seen.use:.1%} of the limit used")


async def bench(checks: Checks, names: list[str], ways: str) -> None:
    """Measure every client in each way whose title has some words."""
    rows = []
    async with environments() as places, running_simulator(penalty_patience=NEVER_GROWS) as telegram:
        for name in names:
            for is_killed in (False, True) if ways in "limiter" else ():
                seen = await by_limiter(places, telegram, name, is_killed=is_killed)
                rows.append(
                    [CLIENTS[name], LIMITERS[name] + (", kill -9 of the client" if is_killed else ""), seen.cell]
                )
                _note(rows[-1])
            for way in (each for each in WAYS if ways in each.title):
                seen = await through_door(places, telegram, name, way)
                check(checks, name, way, seen)
                rows.append([CLIENTS[name], f"the door: {way.title}", seen.cell])
                _note(rows[-1])
    print(table(["client", "way", "600 private chats, one bot (ideal 19.8 s, 100 %)"], rows))
    print(f"\n{machine()}.")


def _note(row: list[str]) -> None:
    sys.stderr.write(f"{' | '.join(row)}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.door")
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--ways", default="", help="words in the title of a way; limiter: those with limiters")
    options = parser.parse_args()
    names = [name for name in CLIENTS if name in options.clients.split(",")]
    checks = Checks()
    run_and_clean_up(bench(checks, names, options.ways))
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
