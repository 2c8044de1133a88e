"""Runs the engine and the simulator with the load, and waits until all is answered."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.harness import ECHO, engine
from bench.load.deliveries import Delivered, Deliveries, Webhook, delivering_session
from bench.load.plan import LoadPlan, PlannedUpdate
from bench.load.result import Result, result_of
from bench.load.usage import Usage
from tempogram.simulator.client import RunningSimulator, running_simulator

SETS_WEBHOOKS_WITHIN_S = 120.0
REST_S = 2.0
"""After what warms up, and after the last answer, in which a duplicate would come."""

DRAINS_WITHIN_S = 60.0
"""Beyond what the ceiling makes it take."""

EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it, and what it took."""

    result: Result
    usage: Usage


async def run(plan: LoadPlan, *, broken: bool = False) -> Run:
    """Run the plan from the first process to the last answer."""
    async with (
        running_simulator(any_webhook_url=True, total_limit=plan.ceiling) as telegram,
        engine(
            telegram.url,
            plan.tokens,
            broken=broken,
            by_webhook=True,
            BEHAVIOURS=ECHO,
            TELEGRAM_GLOBAL_LIMIT=str(plan.ceiling),
        ) as tempogram,
        delivering_session() as session,
    ):
        webhooks = await registered(telegram, plan)
        deliveries = Deliveries(webhooks, session)
        await warm_up(plan, deliveries, telegram)
        usage = Usage(tempogram, {"simulator": telegram.pid, "this load": os.getpid()})
        watching = asyncio.create_task(usage.watch())
        updates = plan.updates()
        try:
            delivered = await deliveries.run(updates)
            await answered(plan, telegram, len(updates))
        finally:
            watching.cancel()
        await usage.look()
        await asyncio.sleep(REST_S)
        result = await gathered(telegram, deliveries, updates, delivered)
        return Run(result, usage)


async def registered(telegram: RunningSimulator, plan: LoadPlan) -> dict[int, Webhook]:
    """Wait until every bot has a webhook."""
    until_s = time.monotonic() + SETS_WEBHOOKS_WITHIN_S
    while True:
        bots = [bot for bot in await telegram.call("GET", "bots") if bot["webhook_url"]]
        if len(bots) == plan.bots:
            return {bot["bot_id"]: Webhook(bot["webhook_url"], bot["webhook_secret"], bot["username"]) for bot in bots}
        assert time.monotonic() < until_s, f"{len(bots)} of {plan.bots} bots have a webhook"
        await asyncio.sleep(EVERY_S)


async def warm_up(plan: LoadPlan, deliveries: Deliveries, telegram: RunningSimulator) -> None:
    """Have each bot answer once: statements are compiled at their first use, connections opened."""
    await deliveries.run(plan.warming_up())
    await answered(plan, telegram, plan.bots)
    await asyncio.sleep(REST_S)
    await telegram.reset()


async def answered(plan: LoadPlan, telegram: RunningSimulator, count: int) -> None:
    """Wait until so many answers have arrived, or it has taken too long."""
    until_s = time.monotonic() + DRAINS_WITHIN_S + (count / plan.ceiling if plan.ceiling else 0)
    while (await telegram.report()).accepted < count:
        if time.monotonic() > until_s:
            return
        await asyncio.sleep(EVERY_S)


async def gathered(
    telegram: RunningSimulator, deliveries: Deliveries, updates: Sequence[PlannedUpdate], delivered: Sequence[Delivered]
) -> Result:
    usernames: Mapping[int, str] = {bot_id: webhook.username for bot_id, webhook in deliveries.webhooks.items()}
    return result_of(
        updates,
        delivered,
        await telegram.calls(),
        await telegram.report(),
        began_ms=deliveries.began_ms,
        username=usernames.__getitem__,
    )
