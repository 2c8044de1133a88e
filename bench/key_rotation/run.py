"""The change of ``SECRET_KEY`` of processes that share a Redis and a PostgreSQL, under load and over kills."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import NullPool, select
from sqlalchemy.ext.asyncio import create_async_engine

from bench.harness import ECHO, token
from bench.key_rotation.load import Load
from tempogram.bot.demo.process import ADMIN_TOKEN, EngineProcess, ProcessFailed
from tempogram.simulator.client import RunningSimulator, running_simulator
from tempogram.storage.bots import Bots, Source
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import parse
from tempogram.storage.database.models import bots as table
from tempogram.storage.key_rotation import CHUNK
from tempogram.storage.keys import Seal
from tempogram.storage.processes.identity import check_key

FORMER, PRESENT = "the key that was used before", "the key that is used from now on"

BOTH = {"SECRET_KEY": PRESENT, "FORMER_SECRET_KEY": FORMER}

WRONG_TOKEN = {401, 404}
HALFWAY_WITHIN_S = 30.0
DRAINED_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run. A chunk of the change has 50 bots; it is killed within one that ``seed`` chooses.

    Attributes:
        is_whole: From processes with the former key to ones with the new key, and with attempts to start with one key
            halfway. False: the processes have both keys from the first start to the end.
    """

    bots: int
    seed: int
    roles: Sequence[str] = ("api", "worker", "worker", "scheduler")
    submissions_a_second: float = 15.0
    deliveries_a_second: float = 5.0
    pause_s: float = 2.0
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the simulator saw, and what the API and the processes said.

    Attributes:
        halfway: ``GET /keys`` after the kill.
        one_key: What processes said that had one key only, halfway.
        sent_halfway: Messages that arrived while bots were under either key.
        wrong_bot: Texts that another bot sent than the one that was to.
    """

    halfway: dict[str, Any]
    after: dict[str, Any]
    one_key: Sequence[str]
    expected: int
    lost: int
    twice: int
    wrong_token: int
    wrong_bot: int
    sent_halfway: int
    broken_windows: dict[str, int]
    refused: Sequence[int]
    tried_again: int


async def rotated_under_load(
    plan: Plan, folder: Path, *, redis_url: str, postgres_url: str, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Change the key while the processes work, and return what came of it."""
    tokens = {number: token(number) for number in range(1, plan.bots + 1)}
    secrets = {number: f"webhook-secret-{number}" for number in tokens}
    chance = random.Random(plan.seed)
    held = 1 + CHUNK * chance.randrange(1, -(-plan.bots // CHUNK))
    async with AsyncExitStack() as stack:
        telegram = await stack.enter_async_context(running_simulator(accept_any_token=False, total_limit=30))
        await telegram.add_bots(*tokens.values())
        database = await Database.open(postgres_url)
        stack.push_async_callback(database.close)
        await _stored(database, tokens, secrets)
        settings = {"REDIS_URL": redis_url, "DATABASE_URL": postgres_url, "BEHAVIOURS": ECHO, "SECRET_KEY": FORMER}
        first = settings if plan.is_whole else settings | BOTH
        processes = [
            _process(telegram.url, folder, f"{role}-{number}", role, first) for number, role in enumerate(plan.roles)
        ]
        for each in processes:
            stack.push_async_callback(each.close)
        await asyncio.gather(*(each.start() for each in processes))
        api, others = processes[0], processes[1:]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        load = Load(api.url, ADMIN_TOKEN, tokens, secrets, chance, session)
        rates = {
            "submissions_a_second": plan.submissions_a_second,
            "deliveries_a_second": plan.deliveries_a_second,
        }
        loading = asyncio.create_task(load.run(**rates))
        say(f"{plan.bots} bots, {len(processes)} processes with the former key, under load")
        await asyncio.sleep(plan.pause_s)
        if plan.is_whole:
            await _restarted(processes, settings | BOTH)
            say("each was started anew with both keys")

        async with _held(postgres_url, held):
            rotating = asyncio.create_task(_rotate(api))
            await _until_present(database, held - 1)
            sent_halfway = -len(await _calls(telegram))
            await asyncio.sleep(plan.pause_s)  # it waits for the lock, and messages go out
            await api.kill()
            await rotating
        await asyncio.gather(api.start(), *(_killed_and_started(each) for each in others[:1] if plan.is_whole))
        halfway = await api.call("GET", "/keys")
        say(f"the API was killed at bot {held}; GET /keys: {halfway['present']} and {halfway['former']}")
        alone = [
            _process(telegram.url, folder, f"alone-{number}", "worker", settings | {"SECRET_KEY": key})
            for number, key in enumerate((FORMER, PRESENT))
        ]
        one_key = await asyncio.gather(*(_said_at_the_start(each) for each in alone if plan.is_whole))
        await asyncio.sleep(plan.pause_s)
        sent_halfway += len(await _calls(telegram))

        await _rotate(api)
        after = await api.call("GET", "/keys")
        say(f"called again; GET /keys: {after['present']} and {after['former']}")
        if plan.is_whole:
            await _restarted(processes, settings | {"SECRET_KEY": PRESENT})
            say("each was started anew with the new key alone")
        await asyncio.sleep(plan.pause_s)
        load.stop()
        await loading
        await _drained(api, telegram, load)
        calls, report = await _calls(telegram), await telegram.report()
    sent = [call for call in calls if call["code"] == 200 and call["cost"]]
    arrived = Counter(call["text"] for call in sent)
    return Outcome(
        halfway=halfway,
        after=after,
        one_key=one_key,
        expected=len(load.expected),
        lost=len(load.expected.keys() - arrived.keys()),
        twice=sum(count - 1 for count in arrived.values()),
        wrong_token=sum(call["code"] in WRONG_TOKEN for call in calls),
        wrong_bot=sum(load.expected.get(call["text"], call["bot_id"]) != call["bot_id"] for call in sent),
        sent_halfway=sent_halfway,
        broken_windows={window: count for window, count in report.violations.items() if count},
        refused=load.refused,
        tried_again=load.tried_again,
    )


async def _stored(database: Database, tokens: dict[int, str], secrets: dict[int, str]) -> None:
    """Store the bots under the former key; their updates are brought by the load, not fetched."""
    seal = Seal(FORMER)
    await check_key(database, seal)
    bots = Bots(database, seal)
    for bot_id, each in tokens.items():
        await bots.add(bot_id, each, username=f"b{bot_id}", first_name="b", behaviours={"echo": {}}, now_ms=1)
        await bots.set_updates(bot_id, Source.NONE)
        await bots.set_webhook_secret(bot_id, secrets[bot_id])


def _process(telegram_url: str, folder: Path, name: str, role: str, environment: dict[str, str]) -> EngineProcess:
    (directory := folder / name).mkdir()
    return EngineProcess(telegram_url, directory, (), environment, role=role, log_file=directory / "log")


async def _restarted(processes: Sequence[EngineProcess], environment: dict[str, str]) -> None:
    """Start each anew, one after the other, as a deployment does."""
    for each in processes:
        each.environment = environment
        await each.end()
        await each.start()


async def _killed_and_started(process: EngineProcess) -> None:
    await process.kill()
    await process.start()


@asynccontextmanager
async def _held(postgres_url: str, bot_id: int) -> AsyncIterator[None]:
    """Lock the row of a bot until the block ends: the change waits before the chunk that has it."""
    engine = create_async_engine(parse(postgres_url), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(select(table.c.bot_id).where(table.c.bot_id == bot_id).with_for_update())
        yield


async def _rotate(api: EngineProcess) -> None:
    with suppress(ProcessFailed):  # it is killed meanwhile
        await api.call("POST", "/keys/rotate")


async def _until_present(database: Database, count: int) -> None:
    """Wait until the first so many bots are under the new key, and no other one is."""
    seal, until_s = Seal(PRESENT), time.monotonic() + HALFWAY_WITHIN_S
    while sum(each is not None for each in (await Bots(database, seal).tokens()).values()) != count:
        assert time.monotonic() < until_s, f"the change did not come to bot {count}"
        await asyncio.sleep(0.02)


async def _said_at_the_start(process: EngineProcess) -> str:
    """Start a process that is to be refused, and return its last words."""
    try:
        await process.start()
    except ProcessFailed as error:
        return str(error)
    finally:
        await process.close()
    return "it runs"


async def _drained(api: EngineProcess, telegram: RunningSimulator, load: Load) -> None:
    """Wait until all has arrived, or nothing waits any more; what is missing then is lost."""
    until_s = time.monotonic() + DRAINED_WITHIN_S
    while time.monotonic() < until_s:
        arrived = {call["text"] for call in await _calls(telegram) if call["code"] == 200}
        if load.expected.keys() <= arrived and not (await api.stats())["total_queued"]:
            return
        await asyncio.sleep(0.2)


async def _calls(telegram: RunningSimulator) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    while page := await telegram.calls(since=len(calls)):
        calls += page
    return calls
