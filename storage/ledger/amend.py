"""Stores other contents and times of messages that wait, in batches."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    and_,
    exists,
    literal_column,
    update,
)
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.messages import KEPT_METHOD, KEPT_MS, Outgoing
from tempogram.storage.database.bulk import Binds, BulkStatement, as_table
from tempogram.storage.database.models import messages, payloads
from tempogram.storage.ledger.record import REPLAYABLE


def amend(connection: Connection, items: Sequence[Outgoing]) -> list[None]:
    """Update messages that may still be sent, and their payloads.

    Of the same message twice, the later content counts, and the later time.
    """
    contents = {each.id: each for each in items if each.method != KEPT_METHOD}.values()
    times = {each.id: each for each in items if each.ready_at_ms != KEPT_MS}.values()
    AMEND_METHODS.run(connection, [(each.id, each.cost, each.method) for each in contents])
    AMEND_PAYLOADS.run(connection, [(each.id, each.cost, each.params) for each in contents])
    AMEND_TIMES.run(connection, [(each.id, each.cost, each.ready_at_ms) for each in times])
    return [None] * len(items)


def _amend_methods(_dialect: str, rows: Binds) -> ClauseElement:
    amended = as_table("amended", _METHOD, rows)
    return update(messages).where(_is_meant(amended)).values(method=amended.c.method)


def _amend_times(_dialect: str, rows: Binds) -> ClauseElement:
    amended = as_table("amended", _TIME, rows)
    is_untried = messages.c.attempt == literal_column("0")
    return update(messages).where(_is_meant(amended), is_untried).values(ready_at_ms=amended.c.ready_at_ms)


def _amend_payloads(_dialect: str, rows: Binds) -> ClauseElement:
    amended = as_table("amended", _PAYLOAD, rows)
    is_meant = exists().where(_is_meant(amended)).correlate(amended)
    is_its_own = payloads.c.message_id == amended.c.id
    return update(payloads).where(is_its_own, is_meant).values(params=amended.c.params)


def _is_meant(amended: CTE) -> ColumnElement[bool]:
    """Choose messages of the same cost that may still be sent.

    Among their statuses is one that is not open, so PostgreSQL cannot choose the index of all open messages, which it
    would read from end to end.
    """
    may_be_sent = messages.c.status.in_([literal_column(f"'{status}'") for status in REPLAYABLE])
    return and_(messages.c.id == amended.c.id, messages.c.cost == amended.c.cost, may_be_sent)


_METHOD = messages.c.id, messages.c.cost, messages.c.method
_TIME = messages.c.id, messages.c.cost, messages.c.ready_at_ms
_PAYLOAD = messages.c.id, messages.c.cost, payloads.c.params

AMEND_METHODS = BulkStatement(_METHOD, _amend_methods)
AMEND_TIMES = BulkStatement(_TIME, _amend_times)
AMEND_PAYLOADS = BulkStatement(_PAYLOAD, _amend_payloads)
