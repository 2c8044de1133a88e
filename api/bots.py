"""Bots: add one, look at them, change what one does."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.auth import GuardedRoute, Role, requires
from api.errors import Invalid, Malformed, NotFound, TooLarge, declares
from api.fields import BotId
from api.ports import Refusal, TelegramUnreachable, UnknownToken
from api.schemas import BotChange, BotIn, BotOut, BotsOut
from api.services import Services, ServicesOf
from engine.errors import BrokerUnavailable, LedgerError
from storage.bots import RegisteredBot

router = APIRouter(tags=["bots"], route_class=GuardedRoute)

BotPath = Annotated[BotId, Path()]


@router.get("/bots", dependencies=[requires(Role.VIEWER)], responses=declares(LedgerError))
async def show_all(services: ServicesOf) -> BotsOut:
    """List every bot, in the order of their ids."""
    return BotsOut.of(await services.bots.all())


@router.post(
    "/bots",
    status_code=201,
    dependencies=[requires(Role.ADMIN)],
    responses=declares(Malformed, Refusal, TooLarge, Invalid, UnknownToken, TelegramUnreachable, LedgerError),
)
async def add(wanted: BotIn, services: ServicesOf) -> BotOut:
    """Run a bot from now on. Adding it again replaces its token and, if given, its behaviours."""
    bot_id = await services.fleet.add(wanted.token, wanted.behaviours)
    return BotOut.of(await _bot(services, bot_id))


@router.get("/bots/{bot_id}", dependencies=[requires(Role.VIEWER)], responses=declares(NotFound, Invalid, LedgerError))
async def show(bot_id: BotPath, services: ServicesOf) -> BotOut:
    """Show one bot, without its token."""
    return BotOut.of(await _bot(services, bot_id))


@router.patch(
    "/bots/{bot_id}",
    dependencies=[requires(Role.OPERATOR)],
    responses=declares(Malformed, Refusal, NotFound, TooLarge, Invalid, LedgerError, BrokerUnavailable),
)
async def change(bot_id: BotPath, wanted: BotChange, services: ServicesOf) -> BotOut:
    """Change what a bot does, pause or resume it, or give it more turns."""
    await _change(services, bot_id, wanted)
    return BotOut.of(await _bot(services, bot_id))


async def _bot(services: Services, bot_id: int) -> RegisteredBot:
    bot = await services.bots.get(bot_id)
    if bot is None:
        raise NotFound(f"there is no bot {bot_id}")
    return bot


async def _change(services: Services, bot_id: int, wanted: BotChange) -> None:
    """Do first what may be refused; then the books before the broker, which is rebuilt from them."""
    await _bot(services, bot_id)
    if wanted.behaviours is not None:
        await services.fleet.change(bot_id, behaviours=wanted.behaviours)
    if wanted.weight is not None:
        await services.bots.set_weight(bot_id, wanted.weight)
        await services.broker.weigh(bot_id, wanted.weight)
    if wanted.paused is not None:
        await services.ledger.pause(bot_id, paused=wanted.paused)
        await services.broker.pause(bot_id, paused=wanted.paused)
