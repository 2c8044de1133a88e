"""The database itself is away: that cannot be written down, so it is said from memory, and so is its end.

Without the database no process can be chosen for it. So the one says it that looked for all when the database was there
last. If that one dies meanwhile, the outage is said by no process; its own log and ``/health`` show it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog

from tempogram.engine.alerts.channel import Channel
from tempogram.engine.alerts.kinds import DATABASE_AWAY
from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tempogram.engine.alerts.notices import When, new_id, notice_of
from tempogram.engine.alerts.sender import Count, Sender
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.alert_store import Alert, AlertStore, Mark, NoticeRow
from tempogram.engine.resilience.conditions import Condition, Conditions

log = structlog.get_logger()

ASK_S = 5.0
"""Without an answer it is away."""

LED_MS = 60_000
"""How long after it has led a process speaks for all: a lead ends with the database. untuned: several checks."""


class DatabaseWatch:
    """See the module.

    Args:
        ask: Reads something; raises ``LedgerError`` if the database refuses.
        store: Where what is still to be sent goes, once the database is back.
        handed_over: Called then.
        after: Checks in a row after which an outage begins or ends.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[object]],
        store: AlertStore,
        channels: Mapping[str, Channel],
        *,
        conditions: Conditions,
        when: When,
        after: int,
        clock: Clock,
        count: Count = lambda *_: None,
        handed_over: Callable[[], None] = lambda: None,
    ) -> None:
        self._ask = ask
        self._store = store
        self._channels = channels
        self._conditions = conditions
        self._when = when
        self._after = after
        self._clock = clock
        self._count = count
        self._handed_over = handed_over
        self._memory = MemoryAlertStore()
        self._alert: Alert | None = None
        self._sending: asyncio.Task[None] | None = None
        self._in_a_row = 0  # checks that saw the other state
        self._led_at_ms: int | None = None
        self._answered = False
        self.is_leading = False

    @property
    def alert(self) -> Alert | None:
        """The outage that lasts, if this process speaks for all."""
        return self._alert

    def saw_answer(self) -> None:
        """Note that the database has just answered another question, so that it need not be asked."""
        self._answered = True

    async def check(self) -> None:
        """Look once whether the database is there."""
        is_away = await self._is_away()
        speaks = self._speaks(is_away=is_away)
        self._in_a_row = self._in_a_row + 1 if is_away != (self._alert is not None) else 0
        if self._alert is None and is_away and self._in_a_row >= self._after and speaks:
            self._begin()
        elif self._alert is not None and not is_away and self._in_a_row >= self._after:
            await self._end(self._alert)
        self._say()

    async def close(self) -> None:
        """Stop to send."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])
            self._sending = None

    async def _is_away(self) -> bool:
        if self._conditions.holds(Condition.LEDGER_AWAY):  # it may be read, and take no writes
            return True
        if self._answered:
            self._answered = False
            return False
        try:
            async with asyncio.timeout(ASK_S):
                await self._ask()
        except (LedgerError, TimeoutError):
            return True
        return False

    def _speaks(self, *, is_away: bool) -> bool:
        """Tell whether this process speaks for all while the database is away: it did shortly before."""
        now_ms = self._clock()
        if self.is_leading:
            self._led_at_ms = now_ms
        elif not is_away and self._led_at_ms is not None and now_ms - self._led_at_ms > LED_MS:
            self._led_at_ms = None
        return self._led_at_ms is not None

    def _begin(self) -> None:
        now_ms = self._clock()
        text = "the database cannot be reached or written; nothing is accepted or recorded"
        self._in_a_row = 0
        self._alert = Alert(id=new_id(now_ms), kind=DATABASE_AWAY, key="", text=text, opened_at_ms=now_ms)
        log.error("alert_opened", kind=DATABASE_AWAY, key="", reason=text)

    def _say(self) -> None:
        alert, now_ms = self._alert, self._clock()
        if alert is None or alert.said_at_ms or not self._when.may_say(DATABASE_AWAY, now_ms):
            return
        self._alert = replace(alert, said_at_ms=now_ms)
        self._memory.rows |= {(row.notice.id, row.channel): row for row in self._rows(Mark.SAID, alert)}
        if self._sending is None:
            sender = Sender(self._memory, self._channels, clock=self._clock, count=self._count)
            self._sending = asyncio.create_task(sender.run())

    async def _end(self, alert: Alert) -> None:
        """Write down what is known only here, with what is still to be sent; if that fails, at the next check."""
        await self.close()
        ended = replace(alert, ended_at_ms=alert.ended_at_ms or self._clock())
        if ended.said_at_ms and not ended.end_said_at_ms:
            ended = replace(ended, end_said_at_ms=ended.ended_at_ms)
            self._memory.rows |= {(row.notice.id, row.channel): row for row in self._rows(Mark.END_SAID, ended)}
        self._alert = ended
        with contextlib.suppress(LedgerError):
            await self._store.open([ended])
            await self._store.say(Mark.END_SAID, [], self._clock(), list(self._memory.rows.values()))
            self._memory = MemoryAlertStore()
            self._handed_over()
            self._alert, self._in_a_row = None, 0
            log.warning("alert_ended", kind=DATABASE_AWAY, key="", after_ms=ended.ended_at_ms - ended.opened_at_ms)

    def _rows(self, mark: Mark, alert: Alert) -> list[NoticeRow]:
        now_ms = self._clock()
        notice = notice_of(mark, [alert], now_ms)
        return [NoticeRow(notice=notice, channel=name, next_try_ms=now_ms) for name in self._channels]
