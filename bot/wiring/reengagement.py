"""Re-engagement: the behaviour's task, over the database, the gateway and the language model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiogram.methods import SendMessage

from tempogram.bot.behaviours.reengagement.dry_run import ReengagementDryRuns
from tempogram.bot.behaviours.reengagement.task import Reengagement
from tempogram.bot.behaviours.reengagement.writer import Writer
from tempogram.bot.calls.claimed import submit_claimed
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.generator.chat_completions import REENGAGEMENT
from tempogram.bot.generator.port import TextGenerator
from tempogram.bot.tasks.declared import RESERVED
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.storage import Storage
from tempogram.bot.wiring.updates import language_model
from tempogram.engine.model.messages import Guarantee
from tempogram.engine.ports.audience import Claim
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Cron
from tempogram.engine.selection.campaign import Campaign
from tempogram.engine.services.services import Services

QUARTER_MS = 900_000


@asynccontextmanager
async def reengagement_of(
    context: Context, storage: Storage, fleet: Fleet, gateway: Gateway, services: Services
) -> AsyncIterator[Reengagement]:
    """Put it together; until the block ends, it can ask the model."""
    clock, keep_ms = context.clock, context.settings.keep_texts_ms

    async def submit(campaign: Campaign, claim: Claim, method: SendMessage, delivery: Guarantee) -> None:
        if not fleet.registry.has(claim.bot_id):
            await fleet.reload([claim.bot_id])  # another process may have added it just now
        bot = fleet.registry.bot(claim.bot_id)
        await submit_claimed(gateway, campaign, claim, bot, method, now_ms=clock(), delivery=delivery)

    async with _model_of(context, services) as model:
        writer = Writer(model, texts=storage.texts if keep_ms else None, keep_ms=keep_ms, clock=clock)
        yield Reengagement(bots=storage.bots, audience=storage.audience, writer=writer, submit=submit, clock=clock)


def reengagement_task(reengagement: Reengagement) -> Task:
    return Task(
        name=f"{RESERVED}reengagement",
        times=Cron("*/15 * * * *"),
        work=reengagement.run,
        at_start=True,
        is_idempotent=True,
        timeout_ms=QUARTER_MS,
        pause_after=0,  # a bot that fails must not cost the others their hour
        has_own_thread=False,  # it uses the engine's connections
    )


def dry_runs_of(context: Context, storage: Storage) -> ReengagementDryRuns:
    has_model = bool(context.settings.llm_api_url)
    return ReengagementDryRuns(storage.audience, has_model=has_model, clock=context.clock)


@asynccontextmanager
async def _model_of(context: Context, services: Services) -> AsyncIterator[TextGenerator | None]:
    settings = context.settings
    if not settings.llm_api_url:
        yield None
        return
    # Answers go first: a user waits for them.
    async with language_model(settings, services, operation=REENGAGEMENT, priority="low") as model:
        yield model
