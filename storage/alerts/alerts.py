"""The rows of alerts and of their notices: an update with a condition lets each be said, and each try be made, once."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, TextClause, and_, delete, func, not_, or_, select, update

from tempogram.engine.ports.alert_store import Alert, Event, Finding, Mark, Notice, NoticeRow
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import HAS_NOT_ENDED, alert_notices, alert_sightings, alerts

IDS_MAX = 1_000
"""In one statement."""

_COLUMNS = tuple(alerts.c[each.name] for each in fields(Alert))


class SqlAlertStore:
    """See ``engine.ports.alert_store.AlertStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unfinished(self) -> list[Alert]:
        is_unsaid = and_(alerts.c.said_at_ms > 0, alerts.c.end_said_at_ms == 0)
        query = select(*_COLUMNS).where(or_(HAS_NOT_ENDED, is_unsaid)).order_by(alerts.c.id)
        async with self._database.reading() as connection:
            return [Alert(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001 - its public name

    async def open(self, alerts_: Sequence[Alert]) -> None:
        def write(connection: Connection) -> None:
            insert = insert_by(alerts, connection).on_conflict_do_nothing()
            connection.execute(insert, [asdict(each) for each in alerts_])

        if alerts_:
            await self._database.write_alone(write)

    async def end(self, alert_ids: Collection[str], at_ms: int) -> None:
        def write(connection: Connection) -> None:
            for start in range(0, len(ids), IDS_MAX):
                of = alerts.c.id.in_(ids[start : start + IDS_MAX])
                connection.execute(update(alerts).where(of, alerts.c.ended_at_ms == 0).values(ended_at_ms=at_ms))

        ids = list(alert_ids)
        if ids:
            await self._database.write_alone(write)

    async def say(self, mark: Mark, alerts_: Sequence[Alert], at_ms: int, rows: Sequence[NoticeRow]) -> bool:
        def write(connection: Connection) -> bool:
            for start in range(0, len(alerts_), IDS_MAX):
                if not _are_as_read(connection, mark, alerts_[start : start + IDS_MAX]):
                    return False
            for start in range(0, len(alerts_), IDS_MAX):
                ids = [each.id for each in alerts_[start : start + IDS_MAX]]
                connection.execute(update(alerts).where(alerts.c.id.in_(ids)).values({mark.value: at_ms}))
            if rows:
                connection.execute(insert_by(alert_notices, connection), [_values(row) for row in rows])
            return True

        return await self._database.write_alone(write)

    async def waiting(self, channels: Collection[str], now_ms: int, *, limit: int) -> list[NoticeRow]:
        found: list[NoticeRow] = []
        is_aside = and_(alert_notices.c.is_set_aside, alert_notices.c.next_try_ms > now_ms)
        async with self._database.reading() as connection:
            for channel in sorted(channels):
                of = alert_notices.c.channel == channel, HAS_NOT_ENDED, not_(is_aside)
                query = select(alert_notices).where(*of).order_by(alert_notices.c.id).limit(limit)
                found += [_row(row) for row in await connection.execute(query)]
        return found

    async def next_try_ms(self, channels: Collection[str]) -> int | None:
        query = select(func.min(alert_notices.c.next_try_ms)).where(
            alert_notices.c.channel.in_(channels), HAS_NOT_ENDED
        )
        async with self._database.reading() as connection:
            found: int | None = (await connection.execute(query)).scalar()
        return found

    async def claim(self, row: NoticeRow, until_ms: int) -> bool:
        return await self._change(row, row.attempts, {"attempts": row.attempts + 1, "next_try_ms": until_ms})

    async def put_off(self, row: NoticeRow, next_try_ms: int, error: str, *, is_set_aside: bool) -> None:
        values = {"next_try_ms": next_try_ms, "error": error, "is_set_aside": is_set_aside}
        await self._change(row, row.attempts, values)

    async def finish(self, row: NoticeRow, at_ms: int, *, is_accepted: bool, error: str = "") -> None:
        # An accepted one is finished by whichever try it was: it must not be sent again.
        attempts = None if is_accepted else row.attempts
        await self._change(row, attempts, {"ended_at_ms": at_ms, "is_accepted": is_accepted, "error": error})

    async def sight(self, process: str, findings: Sequence[Finding], at_ms: int) -> None:
        def write(connection: Connection) -> None:
            connection.execute(delete(alert_sightings).where(alert_sightings.c.process == process))
            if findings:
                rows = [asdict(each) | {"process": process, "at_ms": at_ms} for each in findings]
                connection.execute(insert_by(alert_sightings, connection), rows)

        await self._database.write_alone(write)

    async def sighted(self, since_ms: int) -> list[Finding]:
        of = alert_sightings.c.kind, alert_sightings.c.key, alert_sightings.c.text
        query = select(*of).where(alert_sightings.c.at_ms >= since_ms).order_by(*of)
        async with self._database.reading() as connection:
            return [Finding(*row) for row in await connection.execute(query)]

    async def _change(self, row: NoticeRow, attempts: int | None, values: dict[str, Any]) -> bool:
        is_meant: list[ColumnElement[bool] | TextClause] = [
            alert_notices.c.id == row.notice.id,
            alert_notices.c.channel == row.channel,
            HAS_NOT_ENDED,
        ]
        if attempts is not None:
            is_meant.append(alert_notices.c.attempts == attempts)
        change = update(alert_notices).where(*is_meant).values(**values)
        return await self._database.write_alone(lambda connection: connection.execute(change).rowcount == 1)


def _are_as_read(connection: Connection, mark: Mark, read: Sequence[Alert]) -> bool:
    """Tell whether none of these has been marked since, and let no other process mark one until the commit."""
    column = alerts.c[mark.value]
    locked = select(alerts.c.id, column).where(alerts.c.id.in_([each.id for each in read]))
    found = {row[0]: row[1] for row in connection.execute(locked.order_by(alerts.c.id).with_for_update())}
    return found == {each.id: getattr(each, mark.value) for each in read}


def _values(row: NoticeRow) -> dict[str, Any]:
    notice = row.notice
    said = {"lines": notice.lines, "keys": notice.keys, "alerts": notice.alerts}
    return {
        "id": notice.id,
        "channel": row.channel,
        "event": notice.event.value,
        "kind": notice.kind,
        "said": json.dumps(said, ensure_ascii=False),
        "at_ms": notice.at_ms,
        "attempts": row.attempts,
        "next_try_ms": row.next_try_ms,
        "is_set_aside": row.is_set_aside,
        "ended_at_ms": 0,
        "is_accepted": False,
        "error": "",
    }


def _row(row: Row[Any]) -> NoticeRow:
    said = json.loads(row.said)
    notice = Notice(
        id=row.id,
        event=Event(row.event),
        kind=row.kind,
        lines=tuple(said["lines"]),
        keys=tuple(said["keys"]),
        alerts=said["alerts"],
        at_ms=row.at_ms,
    )
    return NoticeRow(
        notice=notice,
        channel=row.channel,
        attempts=row.attempts,
        next_try_ms=row.next_try_ms,
        is_set_aside=row.is_set_aside,
    )
