"""Lists, replays and purges dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import structlog

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.schemas.messages import LetterOut
from tempogram.api.schemas.queue import DeadLettersOut, Selection
from tempogram.engine.model.batching import batches
from tempogram.engine.model.errors import BrokerUnavailable

log = structlog.get_logger()

PAGE_MAX = 1_000
"""Dead letters in one page."""

REPLAY_PAGE = 500
"""Dead letters replayed in one transaction. Untuned: few enough that other writes do not wait long behind it."""


async def page(
    dependencies: Dependencies, *, after: str, limit: int, bot_id: int | None, tag: str | None = None
) -> DeadLettersOut:
    """Return one page, and where the next begins. One letter more is read to know whether there is a next page."""
    found = await dependencies.history.dead(after_id=after, limit=limit + 1, bot_id=bot_id, tag=tag)
    letters, has_more = found[:limit], len(found) > limit
    return DeadLettersOut(
        letters=[LetterOut.of(state) for state in letters], next_after=letters[-1].id if has_more else None
    )


async def replay(dependencies: Dependencies, selection: Selection) -> int:
    """Queue dead letters again, and return how many."""
    replayed = 0
    async for message_ids in _pages(dependencies, selection):
        messages = await dependencies.history.replay(message_ids)
        replayed += len(messages)
        try:
            await dependencies.dispatcher.readmit(messages)
        except BrokerUnavailable as error:
            # The ledger has them as queued, and the queue is rebuilt from it.
            log.warning("replay_not_admitted", messages=len(messages), reason=str(error))
    return replayed


async def purge(dependencies: Dependencies, selection: Selection) -> int:
    """Remove dead letters, and return how many."""
    if selection.ids is None:
        return await dependencies.history.purge_dead(bot_id=selection.bot)
    return await dependencies.history.purge_dead(message_ids=selection.ids)


async def _pages(dependencies: Dependencies, selection: Selection) -> AsyncIterator[Sequence[str]]:
    """Yield the selected ids, page by page, each once.

    Pages go by id, not by "the oldest dead letters": a replayed message may be dead again
    before the next page is read, and would be replayed for ever.
    """
    if selection.ids is not None:
        for message_ids in batches(sorted(set(selection.ids)), REPLAY_PAGE):
            yield message_ids
        return
    after = ""
    while found := await dependencies.history.dead(after_id=after, limit=REPLAY_PAGE, bot_id=selection.bot):
        yield [state.id for state in found]
        after = found[-1].id
