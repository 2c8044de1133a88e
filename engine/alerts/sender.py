"""Brings notices to their channels: in their order, each until it is accepted, or ``GIVE_UP_MS`` old.

Each try is claimed in the notice's row first, so that of several processes one makes it. A process that dies during a
try leaves open whether the receiver has it, so the notice is sent again, with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import structlog

from tempogram.engine.alerts.channel import Accepted, Away, Channel, Pending, Refused, Tried
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.alert_store import AlertStore, NoticeRow
from tempogram.engine.resilience.retry import retry

log = structlog.get_logger()

TRY_S = 20.0
"""One try."""

CLAIM_MS = 60_000
"""How long no other process makes the next try. Clocks of processes may differ by seconds."""

ENDING_S = 5.0
"""How long a try goes on after the sender was asked to end."""

GIVE_UP_MS = 24 * 3_600_000

RETRY_MS_MIN, RETRY_MS_MAX = 5_000, 300_000
PENDING_MS_MIN, PENDING_MS_MAX = 1_000, 30_000
ASKED_MS_MAX = 3_600_000
"""The longest pause that a receiver may ask for."""

AT_ONCE = 20
"""Notices of one channel that are read at once."""

LOOK_S = 60.0
"""The longest sleep, as another process may have written one."""

ERROR_MAX = 300
"""Characters of a reason."""

Count = Callable[[str, str], None]


class Sender:
    """See the module.

    Args:
        channels: By name.
        count: Gets the channel and what came of each try.
    """

    def __init__(
        self, store: AlertStore, channels: Mapping[str, Channel], *, clock: Clock, count: Count = lambda *_: None
    ) -> None:
        self._store = store
        self._channels = channels
        self._clock = clock
        self._count = count
        self._woken = asyncio.Event()
        self._accepted: set[tuple[str, str]] = set()  # until that is written

    def wake(self) -> None:
        """Look for notices now."""
        self._woken.set()

    async def run(self) -> None:
        """Send until this is cancelled; a try that is under way then has ``ENDING_S`` more."""
        while self._channels:
            self._woken.clear()
            wait_s = LOOK_S
            try:
                await self.deliver()
                wait_s = await self._until_next_s()
            except LedgerError as error:
                log.debug("alerts_postponed", reason=str(error))
                wait_s = RETRY_MS_MIN / 1_000
            except Exception:
                log.exception("alerts_not_delivered")
                wait_s = RETRY_MS_MIN / 1_000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()

    async def deliver(self) -> None:
        """Try what may be tried now."""
        rows = await self._store.waiting(self._channels.keys(), self._clock(), limit=AT_ONCE)
        by_channel = [list(of) for _, of in groupby(rows, key=lambda row: row.channel)]
        # Gathered, so that a channel that hangs holds up no other; each error ends the round of its own channel only.
        ended = await asyncio.gather(*(self._deliver_in_order(of) for of in by_channel), return_exceptions=True)
        _raise_first(ended)

    async def _until_next_s(self) -> float:
        next_ms = await self._store.next_try_ms(self._channels.keys())
        return LOOK_S if next_ms is None else min(LOOK_S, max(0.2, (next_ms - self._clock()) / 1_000))

    async def _deliver_in_order(self, rows: Sequence[NoticeRow]) -> None:
        for row in rows:
            if row.next_try_ms > self._clock():
                return  # those behind it wait for it
            tried = await self._to_its_end(self._try(row))
            if tried is None or isinstance(tried, Away):
                return

    async def _to_its_end(self, work: Coroutine[Any, Any, Tried | None]) -> Tried | None:
        """Await a try, also when this is cancelled: what the receiver has got would be sent again."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=ENDING_S)
            task.cancel()
            raise

    async def _try(self, row: NoticeRow) -> Tried | None:
        """Return what came of a try; None: another process makes it."""
        key = row.notice.id, row.channel
        if key not in self._accepted:
            if not await self._store.claim(row, self._clock() + CLAIM_MS):
                return None
            row = replace(row, attempts=row.attempts + 1)
            tried = await self._send(row)
            self._count(row.channel, type(tried).__name__.lower())
            if not isinstance(tried, Accepted):
                await self._note(row, tried)
                return tried
            self._accepted.add(key)
        await retry(lambda: self._store.finish(row, self._clock(), is_accepted=True), on=LedgerError, pause_s=1.0)
        self._accepted.discard(key)
        log.info("alert_delivered", channel=row.channel, kind=row.notice.kind, what=row.notice.event.value)
        return Accepted()

    async def _send(self, row: NoticeRow) -> Tried:
        try:
            async with asyncio.timeout(TRY_S):
                return await self._channels[row.channel].send(row.notice)
        except TimeoutError:
            return Away(f"it did not answer within {TRY_S:g} s")
        except Exception as error:
            log.exception("alert_channel_failed", channel=row.channel)
            return Away(type(error).__name__)

    async def _note(self, row: NoticeRow, tried: Pending | Refused | Away) -> None:
        reason = "" if isinstance(tried, Pending) else tried.reason[:ERROR_MAX]
        now_ms = self._clock()
        if now_ms - row.notice.at_ms >= GIVE_UP_MS:
            await self._store.finish(row, now_ms, is_accepted=False, error=reason)
            log.error("alert_given_up", channel=row.channel, kind=row.notice.kind, reason=reason)
            return
        pause_ms = _pause_ms(row.attempts, tried)
        await self._store.put_off(row, now_ms + pause_ms, reason, is_set_aside=not isinstance(tried, Away))
        if not isinstance(tried, Pending):
            log.warning("alert_not_delivered", channel=row.channel, reason=reason, retry_in_ms=pause_ms)


def _pause_ms(attempts: int, tried: Tried) -> int:
    if isinstance(tried, Refused):
        return RETRY_MS_MAX
    if isinstance(tried, Pending):
        return int(min(PENDING_MS_MAX, PENDING_MS_MIN * 2 ** min(attempts - 1, 10)))
    pause_ms = min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** min(attempts - 1, 10))
    asked_ms = round(tried.retry_after_s * 1_000) if isinstance(tried, Away) else 0
    return max(random.randint(pause_ms // 2, pause_ms), min(asked_ms, ASKED_MS_MAX))  # noqa: S311 - jitter, no secret


def _raise_first(ended: Iterable[BaseException | None]) -> None:
    for each in ended:
        if isinstance(each, BaseException):
            raise each
