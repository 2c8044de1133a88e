"""Writes down messages that became needless while they waited: a newer one replaced them, or their target is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.ports import Clock, Fault, Ledger, Queued, Record, Replaced, Result, Results, Verdict
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.resilience.ledger_retry import Sleep, retry_write

Needless = tuple[Outgoing, str | None]
"""A message, and the id of the one that replaced it; None: what it would have changed was deleted."""


class Replacements:
    """Records what the broker found needless, and tells whoever waits for it.

    Insisted on: an edit that the ledger still thinks open would be scheduled again, and might
    undo the newer one.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        results: Results,
        clock: Clock,
        conditions: Conditions | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._results = results
        self._clock = clock
        self._conditions = conditions
        self._sleep = sleep

    async def record(self, messages: Sequence[Outgoing], verdicts: Sequence[Verdict]) -> None:
        """A crash before this loses nothing: the broker, rebuilt, replaces them again."""
        await self._record(list(_replaced(messages, verdicts)))

    async def record_dropped(self, messages: Iterable[Outgoing]) -> None:
        """A crash before this leaves them open: they are sent, and Telegram refuses them."""
        await self._record([(message, None) for message in messages])

    async def _record(self, needless: Sequence[Needless]) -> None:
        if not needless:
            return
        records = [self._record_of(message, by) for message, by in needless]
        await retry_write(lambda: self._ledger.record(records), sleep=self._sleep, conditions=self._conditions)
        for message, by in needless:
            await self._results.publish(Result(message.id, Status.CANCELLED, None, replaced_by=by))

    def _record_of(self, message: Outgoing, by: str | None) -> Record:
        reason = "the message it would change was deleted" if by is None else f"replaced by {by}"
        return Record(
            message_id=message.id,
            bot_id=message.bot_id,
            chat_id=message.chat_id,
            cost=message.cost,
            status=Status.CANCELLED,
            attempt=message.attempt,
            recorded_at_ms=self._clock(),
            fault=Fault(code=None, reason=reason),
        )


def _replaced(messages: Sequence[Outgoing], verdicts: Sequence[Verdict]) -> Iterator[Needless]:
    for message, verdict in zip(messages, verdicts, strict=False):  # none at all if the broker is away
        match verdict:
            case Queued(instead_of=Outgoing() as older):
                yield older, message.id
            case Replaced(by):
                yield message, by
