"""The alerts: what is looked for, and the channels by which it is said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tempogram.api.core.ports import Composer
from tempogram.api.core.redaction import without_tokens
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.sightings import long_hold_ms, own_rules, sightings
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.alerts.alerts import Alerts
from tempogram.engine.alerts.channel import Channel
from tempogram.engine.alerts.database_watch import DatabaseWatch
from tempogram.engine.alerts.process_rules import ProcessRules
from tempogram.engine.alerts.rules import BacklogRule, DatabaseRule, OtherProcessesRule, Rule
from tempogram.engine.alerts.sender import Sender
from tempogram.engine.alerts.sightings import Sightings
from tempogram.engine.alerts.trial import Trial
from tempogram.engine.scheduler.task import Task
from tempogram.engine.services.services import Services

SIGHTED_CHECKS = 3
"""For so many checks what a process finds in itself is believed; it writes it at each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """What a process has of alerts.

    Attributes:
        sightings: What this process finds in itself.
        alerts: What one process does for all.
        trial: Sends a notice to try each channel.
    """

    sightings: Sightings
    alerts: Alerts
    trial: Trial


@asynccontextmanager
async def alerts_of(
    context: Context,
    storage: Storage,
    queue: Queue,
    engine: Engine,
    composer: Composer,
    services: Services,
    tasks: Mapping[str, Task],
) -> AsyncIterator[Alerting]:
    """Put them together; until the block ends, their channels can be used."""
    settings, clock, count = context.settings, context.clock, engine.metrics.count_alert_delivery
    own = own_rules(context, queue, engine, services)
    async with channels_of(context, engine, composer) as channels:
        sender = Sender(storage.alerts, channels, clock=clock, count=count)
        alerts = Alerts(
            storage.alerts,
            list(rules_of(context, storage, queue, own, tasks)),
            own,
            sender,
            DatabaseWatch(
                lambda: storage.ledger.open_ids(after_id="", limit=1),
                storage.alerts,
                channels,
                conditions=queue.conditions,
                when=settings.alerts_when(),
                after=settings.alert_after,
                clock=clock,
                count=count,
                handed_over=sender.wake,
            ),
            channels=sorted(channels),
            when=settings.alerts_when(),
            after=settings.alert_after,
            check_s=settings.alert_check_s,
            clock=clock,
        )
        engine.metrics.alerts_open = alerts.counts
        yield Alerting(sightings=sightings(context, storage, own), alerts=alerts, trial=Trial(channels, clock=clock))


def rules_of(
    context: Context, storage: Storage, queue: Queue, own: ProcessRules, tasks: Mapping[str, Task]
) -> Iterable[Rule]:
    settings, clock = context.settings, context.clock
    check_ms = round(settings.alert_check_s * 1_000)
    yield DatabaseRule(
        storage.alert_readings,
        long_ms=long_hold_ms(settings),
        dead_at_least=settings.alert_dead_letters,
        clock=clock,
        tasks_now_ms=storage.tasks.now_ms,
        redacted=without_tokens,
        jitter_ms=lambda name: tasks[name].jitter_ms if name in tasks else 0,
    )
    yield BacklogRule(queue.broker.stats, at_least=settings.alert_backlog, check_ms=check_ms, clock=clock)
    within_ms = SIGHTED_CHECKS * check_ms
    yield OtherProcessesRule(storage.alerts, own.kinds, within_ms=within_ms, clock=clock)


@asynccontextmanager
async def channels_of(context: Context, engine: Engine, composer: Composer) -> AsyncIterator[dict[str, Channel]]:
    import aiohttp

    from tempogram.bot.alerts import signature, smtp, webhook
    from tempogram.bot.alerts.chat import Chat
    from tempogram.bot.alerts.email import Email

    settings = context.settings
    channels: dict[str, Channel] = {}
    async with aiohttp.ClientSession() as session:
        if settings.alert_slack_url:
            channels["slack"] = webhook.Webhook(session, settings.alert_slack_url, webhook.slack)
        if settings.alert_webhook_url:
            secret = settings.alert_webhook_secret.get_secret_value()
            packed = webhook.plain(context.clock, signature.key_of(secret) if secret else None)
            channels["webhook"] = webhook.Webhook(session, settings.alert_webhook_url, packed)
        if settings.alert_bot is not None:
            chat_id = settings.alert_chat if settings.alert_chat.startswith("@") else int(settings.alert_chat)
            channels["chat"] = Chat(engine.dispatcher, composer, bot_id=settings.alert_bot, chat_id=chat_id)
        if url := settings.alert_smtp_url.get_secret_value():
            channels["email"] = Email(
                smtp.parse(url), sender=settings.alert_mail_from, receivers=settings.alert_mail_to
            )
        yield channels
