"""The rows that let a campaign write to a chat once on a local date, and so many campaigns on one date.

A row has a slot: the number of the message to this chat on this date. Two rows of a date with one slot cannot be, so of
two processes that count the same number of rows only one gets the next slot, and the other counts again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Row,
    ScalarSelect,
    Select,
    Text,
    and_,
    exists,
    func,
    select,
    update,
)

from tempogram.engine.model.selection import Recipient, Rules
from tempogram.engine.ports.audience import Claim
from tempogram.storage.database.dialects import JoinInOrder, insert_by
from tempogram.storage.database.json_rows import as_json, json_rows
from tempogram.storage.database.models import campaign_claims, chats
from tempogram.storage.ledger import chat_ids

ANY_NUMBER = 2**31 - 1
"""The cap where there is none."""

WANTED = "wanted"
"""The parameter."""

KEY = ("bot_id", "chat_id", "local_date", "campaign")
KEPT = (*KEY, "slot", "zone", "not_before_ms", "day_ends_ms", "claimed_at_ms")
_KEY_COLUMNS: list[Column[Any]] = [
    Column("bot_id", BigInteger),
    Column("chat_id", Text),
    Column("local_date", Text),
    Column("campaign", Text),
]
_COLUMNS: list[Column[Any]] = [
    *_KEY_COLUMNS,
    Column("zone", Text),
    Column("not_before_ms", BigInteger),
    Column("day_ends_ms", BigInteger),
    Column("claimed_at_ms", BigInteger),
    Column("cap", Integer),
]

_SUBMITTED: list[Column[Any]] = [*_KEY_COLUMNS, Column("message_id", Text)]

Key = tuple[int, str, str, str]


class Claimed(Enum):
    """What became of a wish for a claim."""

    WON = "won"
    LOST = "lost"
    """Another process has it, or the cap is reached, or the chat takes nothing any more."""
    CROSSED = "crossed"
    """Another campaign got the slot at the same moment; there may be one left."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A campaign wants to write to a chat."""

    recipient: Recipient
    rules: Rules
    bot_id: int
    now_ms: int

    @property
    def key(self) -> Key:
        return self.bot_id, str(self.recipient.chat_id), self.recipient.local_date, self.rules.campaign

    @property
    def row(self) -> tuple[object, ...]:
        chat, rules = self.recipient, self.rules
        cap = ANY_NUMBER if rules.daily_cap is None else rules.daily_cap
        return (*self.key, chat.zone, chat.not_before_ms, chat.day_ends_ms, self.now_ms, cap)


def claim(connection: Connection, wishes: Sequence[Wish]) -> Sequence[Claimed]:
    """Write what may be claimed, in one statement: sorted, so that two processes wait for each other in one order.

    A wish that crossed another one is to be tried again in a transaction of its own: within this one it would break
    that order.
    """
    parameters = {WANTED: as_json(_COLUMNS, sorted(wish.row for wish in wishes))}
    wanted = json_rows(connection.dialect.name, WANTED, _COLUMNS)
    claims = campaign_claims.c
    values = [_taken(wanted) if name == "slot" else wanted.c[name] for name in KEPT]
    allowed = select(*values).select_from(_known(wanted)).where(_is_allowed(wanted)).order_by(*_order(wanted))
    write = insert_by(campaign_claims, connection).from_select(list(KEPT), allowed).on_conflict_do_nothing()
    won = _keys(connection.execute(write.returning(*(claims[name] for name in KEY)), parameters))
    if len(won) == len(wishes):
        return [Claimed.WON] * len(wishes)
    still_allowed = select(*_key(wanted)).select_from(_known(wanted)).where(_is_allowed(wanted))
    crossed = _keys(connection.execute(still_allowed, parameters))
    return [_became(wish.key, won, crossed) for wish in wishes]


def _became(key: Key, won: set[Key], crossed: set[Key]) -> Claimed:
    """Return what became of a wish; of two with the same key one is won."""
    if key in won:
        won.remove(key)
        return Claimed.WON
    return Claimed.CROSSED if key in crossed else Claimed.LOST


def note_submitted(connection: Connection, claims: Sequence[Claim]) -> Sequence[None]:
    rows = sorted(
        (each.bot_id, str(each.recipient.chat_id), each.recipient.local_date, each.campaign, each.message_id)
        for each in claims
    )
    submitted = json_rows(connection.dialect.name, "submitted", _SUBMITTED)
    is_meant = and_(*(campaign_claims.c[name] == submitted.c[name] for name in KEY))
    write = update(campaign_claims).where(is_meant).values(message_id=submitted.c.message_id)
    connection.execute(write, {"submitted": as_json(_SUBMITTED, rows)})
    return [None] * len(claims)


def unsubmitted(campaign: str, bot_id: int, now_ms: int, after: str, limit: int) -> Select[Any]:
    claims = campaign_claims.c
    return (
        select(campaign_claims, chats.c.language, chats.c.title)
        .join(chats, and_(chats.c.bot_id == claims.bot_id, chats.c.chat_id == claims.chat_id))
        .where(
            claims.bot_id == bot_id,
            claims.campaign == campaign,
            claims.chat_id > after,
            claims.message_id.is_(None),
            claims.day_ends_ms > now_ms,
            _takes_messages(),
        )
        .order_by(claims.chat_id, claims.local_date)
        .limit(limit)
    )


def claim_of(row: Row[Any]) -> Claim:
    return Claim(
        campaign=row.campaign,
        bot_id=row.bot_id,
        recipient=Recipient(
            chat_id=chat_ids.required(row.chat_id),
            zone=row.zone,
            local_date=row.local_date,
            not_before_ms=row.not_before_ms,
            day_ends_ms=row.day_ends_ms,
            language=row.language,
            title=row.title,
        ),
    )


def _keys(rows: Iterable[Row[Any]]) -> set[Key]:
    return {(row.bot_id, row.chat_id, row.local_date, row.campaign) for row in rows}


def _key(wanted: FromClause) -> list[ColumnElement[Any]]:
    return [wanted.c[name] for name in KEY]


def _order(wanted: FromClause) -> list[ColumnElement[Any]]:
    """Return the same order for all processes; its first is an expression, so that it is not read from an index."""
    return [wanted.c.chat_id.concat(""), wanted.c.bot_id, wanted.c.local_date, wanted.c.campaign]


def _known(wanted: FromClause) -> FromClause:
    return JoinInOrder(wanted, chats, and_(chats.c.bot_id == wanted.c.bot_id, chats.c.chat_id == wanted.c.chat_id))


def _is_allowed(wanted: FromClause) -> ColumnElement[bool]:
    has_not_ended = wanted.c.day_ends_ms > wanted.c.claimed_at_ms
    is_claimed = exists().where(*_of_date(wanted), campaign_claims.c.campaign == wanted.c.campaign)
    return and_(_takes_messages(), has_not_ended, _taken(wanted) < wanted.c.cap, ~is_claimed)


def _takes_messages() -> ColumnElement[bool]:
    return and_(chats.c.reachable.is_(True), chats.c.opted_out_at_ms.is_(None))


def _taken(wanted: FromClause) -> ScalarSelect[int]:
    """Return how many slots of the chat and date are taken; as none is given back, that is the next one."""
    counted = select(func.count()).select_from(campaign_claims).where(*_of_date(wanted))
    return counted.correlate(wanted).scalar_subquery()


def _of_date(wanted: FromClause) -> tuple[ColumnElement[bool], ...]:
    claims = campaign_claims.c
    return tuple(claims[name] == wanted.c[name] for name in ("bot_id", "chat_id", "local_date"))
