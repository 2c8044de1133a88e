"""Adds, lists, changes and removes bots."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Request, Response

from tempogram.api.core.audit import note
from tempogram.api.core.dependencies import Dependencies, DependenciesOf
from tempogram.api.core.errors import Invalid, Malformed, NotFound, TooLarge, error_responses
from tempogram.api.core.ports import NoWebhook, Refusal, RemovalProgress, TelegramUnreachable, UnknownToken
from tempogram.api.schemas.bots import BotChange, BotIn, BotOut, BotsOut, RemovedOut, WebhookSecretOut
from tempogram.api.schemas.fields import BotId, QueryFlag
from tempogram.api.security.auth import GuardedRoute, refuse_below, requires
from tempogram.api.security.bounds import BoundsOf
from tempogram.api.security.principals import Role
from tempogram.api.usecases.known_bots import bot_of_path, no_bot
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.recovery import settings_sync
from tempogram.storage.bots import RegisteredBot

log = structlog.get_logger()

router = APIRouter(tags=["bots"], route_class=GuardedRoute)

BotPath = Annotated[BotId, Path()]


@router.get("/bots", dependencies=[requires(Role.VIEWER, is_bounded=True)], responses=error_responses(LedgerError))
async def show_all(dependencies: DependenciesOf, bounds: BoundsOf) -> BotsOut:
    """List every bot, in the order of their ids."""
    found = [each for each in await dependencies.bots.all() if bounds.has(each.bot_id)]
    return BotsOut(bots=[_shown(dependencies, each) for each in found])


@router.post(
    "/bots",
    status_code=201,
    dependencies=[requires(Role.ADMIN)],
    responses=error_responses(
        Malformed, Refusal, TooLarge, Invalid, UnknownToken, TelegramUnreachable, LedgerError, BrokerUnavailable
    ),
)
async def add(wanted: BotIn, dependencies: DependenciesOf) -> BotOut:
    """Run a bot from now on. Adding it again replaces its token and what else is given.

    A bot that was removed with keep_messages=true sends those messages now. Telegram takes 20 new bots a minute and
    600 an hour from one address: beyond that the request waits for up to half a minute, then gets a 503.
    """
    bot_id = await dependencies.fleet.add(
        wanted.token, wanted.behaviours, updates=wanted.updates, defaults=wanted.own_defaults
    )
    added = await bot_of_path(dependencies.bots, bot_id)
    note(after={"bot_id": bot_id, **_noted(added)})
    return _shown(dependencies, added)


@router.get(
    "/bots/{bot_id}", dependencies=[requires(Role.VIEWER)], responses=error_responses(NotFound, Invalid, LedgerError)
)
async def show(bot_id: BotPath, dependencies: DependenciesOf) -> BotOut:
    """Show one bot, without its token."""
    return _shown(dependencies, await bot_of_path(dependencies.bots, bot_id))


@router.patch(
    "/bots/{bot_id}",
    dependencies=[requires(Role.OPERATOR)],
    responses=error_responses(Malformed, Refusal, NotFound, TooLarge, Invalid, LedgerError, BrokerUnavailable),
)
async def change(request: Request, bot_id: BotPath, wanted: BotChange, dependencies: DependenciesOf) -> BotOut:
    """Change a bot's behaviours or defaults, pause or resume it, change its weight, or the source of its updates.

    The role operator may change ``paused`` and ``weight``; the rest needs admin. A change of ``updates`` loses no
    update and handles none twice.
    """
    if wanted.changes_fleet:
        refuse_below(Role.ADMIN, request)
    before = await _change(dependencies, bot_id, wanted)
    changed = await bot_of_path(dependencies.bots, bot_id)
    note(before=_noted(before), after=_noted(changed))
    return _shown(dependencies, changed)


@router.delete(
    "/bots/{bot_id}",
    dependencies=[requires(Role.ADMIN, is_recent=True)],
    responses=error_responses(NotFound, Invalid, LedgerError)
    | {202: {"model": RemovedOut, "description": "It is removed, and its messages are still being cancelled."}},
)
async def remove(
    bot_id: BotPath, dependencies: DependenciesOf, response: Response, *, keep_messages: QueryFlag = False
) -> RemovedOut:
    """Remove a bot: its token and its secrets are deleted, its updates and its messages refused from now on.

    Its waiting messages are cancelled and counted; a call in flight is finished. 202: that takes longer than 10 s and
    goes on, also after a crash; ``cancelled`` is the count so far. The same request again waits for it likewise, and
    gets a 404 once it is complete. With ``keep_messages=true`` they wait instead, until the bot is added again, and are
    sent then. Its webhook is deleted in the background. Stored updates that are not handled yet are dropped. Messages
    that have ended stay in the history. A bot of ``BOT_TOKENS`` is added again at the next start.
    """
    progress = await _remove(dependencies, bot_id, keep_messages=keep_messages)
    note(after={"cancelled": progress.cancelled, "keep_messages": keep_messages})
    response.status_code = 200 if progress.is_complete else 202
    return RemovedOut(cancelled=progress.cancelled)


@router.get(
    "/bots/{bot_id}/webhook-secret",
    dependencies=[requires(Role.ADMIN, is_recent=True)],
    responses=error_responses(NoWebhook, NotFound, Invalid, LedgerError),
)
async def show_webhook_secret(bot_id: BotPath, dependencies: DependenciesOf, response: Response) -> WebhookSecretOut:
    """Show the secret of a bot's webhook, with which an update can be delivered by hand. Each look is logged.

    During a change it is the new one: the old one ends first.
    """
    await bot_of_path(dependencies.bots, bot_id)
    accepted = dependencies.fleet.webhook_secrets(bot_id)
    if not accepted:
        raise NoWebhook(f"no webhook of bot {bot_id} has been set here, so its updates are taken without a secret")
    log.info("webhook_secret_shown", bot_id=bot_id)
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecretOut(secret=accepted[-1])


@router.post(
    "/bots/{bot_id}/webhook-secret",
    status_code=202,
    dependencies=[requires(Role.ADMIN, is_recent=True)],
    responses=error_responses(NoWebhook, NotFound, Invalid, LedgerError),
)
async def change_webhook_secret(bot_id: BotPath, dependencies: DependenciesOf) -> BotOut:
    """Replace the secret of a bot's webhook.

    202: it is stored, and set at Telegram in the background. The old one stays valid until Telegram has
    the new one, and for a minute more; a second request in that time changes nothing.
    """
    if not await dependencies.fleet.rotate_secret(bot_id):
        raise no_bot(bot_id)
    return _shown(dependencies, await bot_of_path(dependencies.bots, bot_id))


def _shown(dependencies: Dependencies, bot: RegisteredBot) -> BotOut:
    return BotOut.of(bot, dependencies.fleet.source_of(bot))


def _noted(bot: RegisteredBot) -> dict[str, Any]:
    """Return what may be written down of a bot: settings of behaviours may hold texts."""
    return {
        "paused": bot.paused,
        "weight": bot.weight,
        "updates": None if bot.updates is None else bot.updates.value,
        "behaviours": sorted(bot.behaviours),
        "defaults": sorted(bot.defaults),
    }


async def _change(dependencies: Dependencies, bot_id: int, wanted: BotChange) -> RegisteredBot:
    """Do first what may be refused; then write the database before the broker. Returns the bot as it was."""
    before = await bot_of_path(dependencies.bots, bot_id)
    if wanted.changes_fleet:
        await dependencies.fleet.change(
            bot_id, behaviours=wanted.behaviours, updates=wanted.updates, defaults=wanted.own_defaults
        )
    if wanted.weight is not None:
        await dependencies.bots.set_weight(bot_id, wanted.weight)
        await settings_sync.weigh(dependencies.broker, bot_id, wanted.weight)
    if wanted.paused is not None:
        await dependencies.ledger.pause(bot_id, paused=wanted.paused)
        await settings_sync.pause(dependencies.broker, bot_id, paused=wanted.paused)
    return before


async def _remove(dependencies: Dependencies, bot_id: int, *, keep_messages: bool) -> RemovalProgress:
    """Refuse new messages and updates first; then cancel or keep the waiting messages."""
    if await dependencies.fleet.remove(bot_id, keep_messages=keep_messages):
        return await dependencies.removals.complete(bot_id, keep_messages=keep_messages)
    progress = await dependencies.removals.progress(bot_id)
    if progress is None:
        raise no_bot(bot_id)
    return progress
