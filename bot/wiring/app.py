"""What the HTTP server serves: the API, or only the health and the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tempogram.api.core.monitored import Monitored
from tempogram.api.monitoring_app import App, create_monitoring_app
from tempogram.api.security.wrong_tokens import WrongTokens
from tempogram.bot.wiring.program import Program
from tempogram.engine.broadcasts.billing import Billing
from tempogram.engine.scheduler.board import TaskBoard

if TYPE_CHECKING:
    from tempogram.api.core.dependencies import Dependencies
    from tempogram.api.security.identity import Identity
    from tempogram.api.security.trusted_proxies import TrustedProxies
    from tempogram.bot.wiring.front import Front
    from tempogram.engine.watches.watches import Watches


def app_of(built: Program) -> App:
    """Return the HTTP API; a role that takes nothing in serves only its health and metrics."""
    if built.context.role.takes_in:
        from tempogram.api.app import create_app

        return create_app(dependencies(built))
    return create_monitoring_app(
        Monitored(
            broker=built.queue.broker,
            history=built.storage.history,
            metrics=built.engine.metrics,
            conditions=built.queue.conditions,
            clock=built.context.clock,
            healthy=built.healthy,
            tokens=built.access.tokens,
            wrong_tokens=wrong_tokens(built),
            credentials=built.credentials,
            tasks=task_board(built),
            services=None if built.front_if_any is None else built.front_if_any.services,
            watches=None if built.front_if_any is None else watches(built.front_if_any),
        )
    )


def dependencies(built: Program) -> Dependencies:
    """Return what the endpoints of the API use."""
    from tempogram.api.core.dependencies import Dependencies
    from tempogram.api.security.browsers import Browsers
    from tempogram.bot.broadcasts.media import BroadcastMedia
    from tempogram.bot.broadcasts.star_bills import StarBills

    storage, queue, engine, front = built.storage, built.queue, built.engine, built.front
    return Dependencies(
        intake=front.updates.intake,
        composer=front.updates.composer,
        attachments=front.updates.attachments,
        billing=Billing(storage.broadcasts, billed=StarBills(front.fleet.registry).billed, clock=built.context.clock),
        broadcast_media=BroadcastMedia(front.updates.composer, front.updates.attachments),
        spool=front.updates.spool,
        fleet=front.fleet,
        dispatcher=engine.dispatcher,
        eraser=engine.eraser,
        export=storage.export,
        cancellations=engine.cancellations,
        closer=queue.closer,
        broker=queue.broker,
        ledger=storage.ledger,
        results=queue.results,
        handles=storage.handles,
        history=storage.history,
        audience=storage.audience,
        audit=storage.audit,
        keys=storage.keys,
        bots=storage.bots,
        chats=storage.chats,
        limits=storage.limits,
        removals=front.removals,
        broadcasts=front.broadcasting.board,
        tasks=task_board(built),
        services=front.services,
        changed_services=front.changed_services,
        dry_runs=front.dry_runs,
        metrics=engine.metrics,
        conditions=queue.conditions,
        clock=built.context.clock,
        tokens=built.access.tokens,
        wrong_tokens=wrong_tokens(built),
        credentials=built.credentials,
        browsers=Browsers(built.credentials, trusted_proxies(built)),
        identity=identity_of(built),
        healthy=built.healthy,
        fleet_counts=engine.fleet_counts,
        door=front.door,
        watches=watches(front),
        alerts=storage.alerts,
        alert_trial=front.alerting.trial,
    )


def trusted_proxies(built: Program) -> TrustedProxies | None:
    from tempogram.api.security.trusted_proxies import TrustedProxies

    settings = built.context.settings
    if not settings.trusted_user_header:
        return None
    return TrustedProxies(settings.trusted_user_header, settings.trusted_networks)


def identity_of(built: Program) -> Identity:
    from tempogram.api.security.identity import Identity
    from tempogram.api.security.log_in_throttle import LogInThrottle

    storage = built.storage
    return Identity(
        users=storage.users,
        tokens=storage.api_tokens,
        links=storage.login_links,
        sessions=storage.sessions,
        known=built.credentials,
        throttle=LogInThrottle(storage.digests, clock=built.context.clock),
        announce=built.queue.changes.announce,
    )


def watches(front: Front) -> Watches | None:
    return front.watches if front.watches.sources else None


def task_board(built: Program) -> TaskBoard:
    declared = {} if built.front_if_any is None else built.front_if_any.tasks
    return TaskBoard(built.storage.tasks, built.storage.beats, clock=built.context.clock, declared=declared)


def wrong_tokens(built: Program) -> WrongTokens:
    return WrongTokens(clock=built.context.clock, count=built.engine.metrics.count_refused_token)
