"""Alerts of which no database knows: while it is away, and where there is none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from tempogram.engine.ports.alert_store import Alert, Finding, Mark, NoticeRow


class MemoryAlertStore:
    """See ``AlertStore``."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.rows: dict[tuple[str, str], NoticeRow] = {}
        self.finished: list[tuple[NoticeRow, bool, str]] = []
        self._sighted: dict[str, tuple[int, tuple[Finding, ...]]] = {}

    async def unfinished(self) -> list[Alert]:
        return [
            each
            for each in sorted(self.alerts.values(), key=lambda each: each.id)
            if not each.ended_at_ms or (each.said_at_ms and not each.end_said_at_ms)
        ]

    async def open(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            known = {(each.kind, each.key) for each in self.alerts.values() if not each.ended_at_ms}
            if alert.ended_at_ms or (alert.kind, alert.key) not in known:
                self.alerts.setdefault(alert.id, alert)

    async def end(self, alert_ids: Collection[str], at_ms: int) -> None:
        for alert_id in alert_ids:
            alert = self.alerts[alert_id]
            self.alerts[alert_id] = replace(alert, ended_at_ms=alert.ended_at_ms or at_ms)

    async def say(self, mark: Mark, alerts: Sequence[Alert], at_ms: int, rows: Sequence[NoticeRow]) -> bool:
        if any(getattr(self.alerts[each.id], mark.value) != getattr(each, mark.value) for each in alerts):
            return False
        for each in alerts:
            self.alerts[each.id] = replace(self.alerts[each.id], **{mark.value: at_ms})  # type: ignore[arg-type]
        self.rows |= {(row.notice.id, row.channel): row for row in rows}
        return True

    async def waiting(self, channels: Collection[str], now_ms: int, *, limit: int) -> list[NoticeRow]:
        found: list[NoticeRow] = []
        for channel in sorted(channels):
            of = sorted((row for row in self.rows.values() if row.channel == channel), key=lambda row: row.notice.id)
            found += [row for row in of if not row.is_set_aside or row.next_try_ms <= now_ms][:limit]
        return found

    async def next_try_ms(self, channels: Collection[str]) -> int | None:
        return min((row.next_try_ms for row in self.rows.values() if row.channel in channels), default=None)

    async def claim(self, row: NoticeRow, until_ms: int) -> bool:
        known = self._known(row)
        if known is not None:
            self._put(replace(known, attempts=known.attempts + 1, next_try_ms=until_ms))
        return known is not None

    async def put_off(self, row: NoticeRow, next_try_ms: int, error: str, *, is_set_aside: bool) -> None:  # noqa: ARG002 - it is in the log
        if self._known(row) is not None:
            self._put(replace(row, next_try_ms=next_try_ms, is_set_aside=is_set_aside))

    async def finish(self, row: NoticeRow, at_ms: int, *, is_accepted: bool, error: str = "") -> None:  # noqa: ARG002
        if is_accepted or self._known(row) is not None:
            known = self.rows.pop((row.notice.id, row.channel), None)
            if known is not None:
                self.finished.append((known, is_accepted, error))

    async def sight(self, process: str, findings: Sequence[Finding], at_ms: int) -> None:
        self._sighted[process] = at_ms, tuple(findings)

    async def sighted(self, since_ms: int) -> list[Finding]:
        found = [each for at_ms, of in self._sighted.values() if at_ms >= since_ms for each in of]
        return sorted(found, key=lambda each: (each.kind, each.key, each.text))

    def _known(self, row: NoticeRow) -> NoticeRow | None:
        known = self.rows.get((row.notice.id, row.channel))
        return known if known is not None and known.attempts == row.attempts else None

    def _put(self, row: NoticeRow) -> None:
        self.rows[row.notice.id, row.channel] = row
