"""All of it: checks, alerts and notices, in one process for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from tempogram.engine.alerts.database_watch import DatabaseWatch
from tempogram.engine.alerts.notices import When, new_id, notice_of, to_be_said
from tempogram.engine.alerts.process_rules import ProcessRules
from tempogram.engine.alerts.rules import Rule
from tempogram.engine.alerts.sender import Sender
from tempogram.engine.alerts.streaks import Streaks
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError, LedgerError
from tempogram.engine.ports.alert_store import Alert, AlertStore, Finding, Mark, NoticeRow
from tempogram.engine.resilience.retry import every

log = structlog.get_logger()

LOOK_S = 5.0
"""One rule in one check."""


class Alerts:
    """What one process does for all; ``lead`` runs while it leads.

    Args:
        rules: What is looked for.
        own: What this process finds in itself.
        after: Checks after which something begins or ends; see ``kinds``.
        check_s: Between two checks.
    """

    def __init__(
        self,
        store: AlertStore,
        rules: Sequence[Rule],
        own: ProcessRules,
        sender: Sender,
        database: DatabaseWatch,
        *,
        channels: Sequence[str],
        when: When,
        after: int,
        check_s: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._rules = rules
        self._own = own
        self._sender = sender
        self._database = database
        self._channels = channels
        self._when = when
        self._after = after
        self._check_s = check_s
        self._clock = clock
        self._streaks = Streaks(after)
        self._open: Sequence[Alert] = ()

    def counts(self) -> Mapping[str, int]:
        """Return how many alerts are open, by kind, as this process saw them last; for the metrics."""
        away = self._database.alert
        return Counter(each.kind for each in (*self._open, *([away] if away else [])))

    async def lead(self) -> None:
        """Check again and again, and send, until this is cancelled."""
        self._streaks = Streaks(self._after)
        self._database.is_leading = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sender.run())
                group.create_task(self._keep_checking())
        finally:
            self._database.is_leading = False
            self._open = ()

    async def watch_database(self) -> None:
        """Look again and again whether the database is there, until this is cancelled."""
        try:
            await every(self._check_s, self._database.check, failed="alert_check_failed")
        finally:
            await self._database.close()

    async def check(self) -> None:
        """Look once for everything, and write down what begins, ends and is to be said.

        Raises:
            LedgerError: Some of it was not written; the next check writes it.
        """
        found, unknown = await self._look()
        unfinished = await self._store.unfinished()
        if await self._change(found, unknown, unfinished):
            unfinished = await self._store.unfinished()
        self._open = [each for each in unfinished if not each.ended_at_ms]
        await self._say(unfinished)

    async def _keep_checking(self) -> None:
        while True:
            try:
                await self.check()
                self._database.saw_answer()
            except LedgerError as error:
                log.debug("alerts_postponed", reason=str(error))
            except Exception:
                log.exception("alert_check_failed")
            await asyncio.sleep(self._check_s)

    async def _look(self) -> tuple[list[Finding], set[str]]:
        """Return what is wrong, each once, and the kinds for which could not be looked."""
        found = {(each.kind, each.key): each for each in self._own.find()}
        unknown: set[str] = set()
        for rule in self._rules:
            try:
                async with asyncio.timeout(LOOK_S):
                    of_rule = await rule.find()
            except (EngineError, TimeoutError):
                unknown |= rule.kinds
            except Exception:
                log.exception("alert_rule_failed", rule=type(rule).__name__)
                unknown |= rule.kinds
            else:
                found = {(each.kind, each.key): each for each in of_rule} | found
        return list(found.values()), unknown

    async def _change(self, found: Sequence[Finding], unknown: set[str], unfinished: Sequence[Alert]) -> bool:
        """Write down what begins and ends; return whether anything does."""
        now_ms = self._clock()
        judged = self._streaks.judge(found, [each for each in unfinished if not each.ended_at_ms], unknown)
        new = [
            Alert(id=new_id(now_ms), kind=each.kind, key=each.key, text=each.text, opened_at_ms=now_ms)
            for each in judged.begins
        ]
        await self._store.open(new)
        await self._store.end([each.id for each in judged.ends], now_ms)
        for alert in new:
            log.error("alert_opened", kind=alert.kind, key=alert.key, reason=alert.text)
        for alert in judged.ends:
            log.warning("alert_ended", kind=alert.kind, key=alert.key, after_ms=now_ms - alert.opened_at_ms)
        return bool(new or judged.ends)

    async def _say(self, unfinished: Sequence[Alert]) -> None:
        now_ms = self._clock()
        for mark, alerts in to_be_said(unfinished, self._when, now_ms):
            await self._write_notice(mark, alerts, now_ms)
            self._sender.wake()

    async def _write_notice(self, mark: Mark, alerts: Sequence[Alert], now_ms: int) -> None:
        notice = notice_of(mark, alerts, now_ms)
        rows = [NoticeRow(notice=notice, channel=name, next_try_ms=now_ms) for name in self._channels]
        if not await self._store.say(mark, alerts, now_ms, rows):
            log.info("alert_said_already", kind=notice.kind, what=notice.event.value)
