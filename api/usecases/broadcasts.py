"""Makes, previews and controls broadcasts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from tempogram.api.core.audit import note
from tempogram.api.core.counted import counted
from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.ports import Refusal
from tempogram.api.schemas.broadcasts import BroadcastIn, BroadcastOut, BroadcastsOut, ForecastOut
from tempogram.api.security.bounds import ALL, Bounds
from tempogram.api.usecases.known_bots import check_bot
from tempogram.engine.broadcasts.board import UnknownBroadcast
from tempogram.engine.model.broadcasts import Broadcast
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.files.spool import Spooled

NO_FILES: Mapping[str, Spooled] = MappingProxyType({})


async def create(
    dependencies: Dependencies, wanted: BroadcastIn, files: Mapping[str, Spooled] = NO_FILES
) -> BroadcastOut:
    """Store a draft, and its files, which its parameters name by ``attach://``.

    Raises:
        Refusal: There is no such bot, or Telegram would refuse the content.
        LedgerError: It may not be stored.
    """
    await check_bot(dependencies.bots, wanted.bot)
    plan = wanted.plan(dict(dependencies.fleet.text_params(wanted.bot)))
    plan = await dependencies.broadcast_media.keep(plan, files)
    try:
        broadcast = await dependencies.broadcasts.create(wanted.name, plan)
    except BaseException as error:
        await dependencies.broadcast_media.forget(plan)
        if isinstance(error, SettingsError):
            raise Refusal(str(error)) from None
        raise
    note(after={"id": broadcast.id, "bot": wanted.bot})
    return await shown(dependencies, broadcast)


async def check_bounds(dependencies: Dependencies, broadcast_id: int, bounds: Bounds) -> None:
    """Refuse a broadcast of a bot that the caller's token is not for, as if there were none.

    Raises:
        UnknownBroadcast: It is, or there is no such broadcast.

    Cost: nothing for a token that is for all bots, else one read.
    """
    if bounds != ALL and not bounds.has((await dependencies.broadcasts.get(broadcast_id)).bot_id):
        raise UnknownBroadcast(f"there is no broadcast {broadcast_id}")


async def page(dependencies: Dependencies, *, before: int | None, limit: int) -> BroadcastsOut:
    found = await dependencies.broadcasts.page(before_id=before, limit=limit + 1)
    more = len(found) > limit
    listed = list(map(BroadcastOut.of, await dependencies.broadcasts.progress_of(found[:limit])))
    return BroadcastsOut(broadcasts=listed, next_before=listed[-1].id if more else None)


async def show(dependencies: Dependencies, broadcast_id: int) -> BroadcastOut:
    """Show a broadcast; for a paid one that has ended, Telegram is asked what it billed."""
    broadcast = await dependencies.broadcasts.get(broadcast_id)
    return await shown(dependencies, await dependencies.billing.of(broadcast))


async def preview(dependencies: Dependencies, broadcast_id: int) -> ForecastOut:
    async def count() -> ForecastOut:
        return ForecastOut.of(await dependencies.broadcasts.preview(broadcast_id))

    return await counted(dependencies.services.cache, "broadcast_preview", str(broadcast_id), count, ForecastOut)


async def changed(
    dependencies: Dependencies, change: Callable[[int], Awaitable[Broadcast]], broadcast_id: int
) -> BroadcastOut:
    """Start, pause, resume, cancel or retry a broadcast, and show it."""
    changed = await change(broadcast_id)
    note(after={"state": changed.state.value})
    return await shown(dependencies, changed)


async def shown(dependencies: Dependencies, broadcast: Broadcast) -> BroadcastOut:
    return BroadcastOut.of(await dependencies.broadcasts.progress(broadcast))
