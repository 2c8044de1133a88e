"""The rows that let a campaign write to a chat once on a local date, and so many campaigns on one date.

A row has a slot: the number of the message to this chat on this date. Two rows of a date with one slot cannot be, so of
two processes that count the same number of rows only one gets the next slot, and the other counts again.
"""

from __future__ import annotations

import functools
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
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from tempogram.engine.model.selection import Recipient, Rules
from tempogram.engine.ports.audience import CAMPAIGN, Claim, LeftOver
from tempogram.engine.selection.quiet import held
from tempogram.storage.chat_facts import quiet_hours_of
from tempogram.storage.database.dialects import JoinInOrder, insert_by
from tempogram.storage.database.json_rows import as_json, json_rows
from tempogram.storage.database.models import campaign_claims, chats
from tempogram.storage.ledger import chat_ids
from tempogram.storage.selection.chosen import is_present

ANY_NUMBER = 2**31 - 1
"""The cap where there is none."""

WANTED = "wanted"
"""The parameter."""

KEY = ("bot_id", "chat_id", "local_date", "campaign")
KEPT = (*KEY, "slot", "zone", "not_before_ms", "day_ends_ms", "claimed_at_ms", "first_key")
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
    Column("first_key", Text),
    Column("cap", Integer),
]

_SUBMITTED: list[Column[Any]] = [*_KEY_COLUMNS, Column("message_id", Text)]

UNSUBMITTED = """
    SELECT * FROM campaign_claims {by_index}
    WHERE bot_id = :bot_id AND campaign = :campaign AND chat_id > :after AND message_id IS NULL
"""

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
    """A campaign wants to write to a chat. ``first_key``: see ``Claim``."""

    recipient: Recipient
    rules: Rules
    bot_id: int
    now_ms: int
    first_key: str | None = None

    @property
    def key(self) -> Key:
        return self.bot_id, str(self.recipient.chat_id), self.recipient.local_date, self.rules.campaign

    @property
    def claim(self) -> Claim:
        return Claim(
            campaign=self.rules.campaign, bot_id=self.bot_id, recipient=self.recipient, first_key=self.first_key
        )

    @property
    def row(self) -> tuple[object, ...]:
        chat, rules = self.recipient, self.rules
        cap = ANY_NUMBER if rules.daily_cap is None else rules.daily_cap
        return (*self.key, chat.zone, chat.not_before_ms, chat.day_ends_ms, self.now_ms, self.first_key, cap)


def claim(connection: Connection, wishes: Sequence[Wish]) -> Sequence[Claimed]:
    """Write what may be claimed, in one statement: sorted, so that two processes wait for each other in one order.

    A wish that crossed another one is to be tried again in a transaction of its own: within this one it would break
    that order.
    """
    parameters = {WANTED: as_json(_COLUMNS, [wish.row for wish in sorted(wishes, key=lambda wish: wish.key)])}
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
    submitted = _under_present_ids(json_rows(connection.dialect.name, "submitted", _SUBMITTED))
    is_meant = and_(*(campaign_claims.c[name] == submitted.c[name] for name in KEY))
    write = update(campaign_claims).where(is_meant).values(message_id=submitted.c.message_id)
    connection.execute(write, {"submitted": as_json(_SUBMITTED, rows)})
    return [None] * len(claims)


def move(connection: Connection, bot_id: int, old: str, new: str) -> None:
    """Give a chat what was claimed under an older id of it, in the slots after its own.

    A campaign that has claimed both for one date has claimed the chat once.
    """
    claims, own = campaign_claims.c, campaign_claims.alias("own")
    of_new = own.c.bot_id == bot_id, own.c.chat_id == new, own.c.local_date == claims.local_date
    taken = select(func.count()).select_from(own).where(*of_new).correlate(campaign_claims).scalar_subquery()
    is_claimed = exists().where(*of_new, own.c.campaign == claims.campaign).correlate(campaign_claims)
    place = func.row_number().over(partition_by=claims.local_date, order_by=claims.slot)
    changed = {
        "chat_id": literal(new),
        "slot": taken + place - 1,
        "first_key": func.coalesce(claims.first_key, _key_of(claims)),
    }
    names = [column.name for column in campaign_claims.c]
    of_old = claims.bot_id == bot_id, claims.chat_id == old
    moved = select(*(changed.get(name, claims[name]).label(name) for name in names)).where(*of_old, ~is_claimed)
    connection.execute(insert_by(campaign_claims, connection).from_select(names, moved).on_conflict_do_nothing())
    connection.execute(delete(campaign_claims).where(*of_old))


def unsubmitted(
    dialect: str, bot_id: int, campaign: str, now_ms: int, after: str, limit: int, *, unless_wrote: bool
) -> Select[Any]:
    # Left to itself SQLite may go through all claims of the bot, in the same order.
    by_index = "INDEXED BY campaign_claims_unsubmitted" if dialect == "sqlite" else ""
    left = text(UNSUBMITTED.format(by_index=by_index)).columns(*campaign_claims.c)
    claims = left.bindparams(bot_id=bot_id, campaign=campaign, after=after).subquery("claims")
    wrote = chats.c.last_message_in_at_ms
    has_not_written = [or_(wrote.is_(None), wrote <= claims.c.claimed_at_ms)] if unless_wrote else []
    return (
        select(claims, chats.c.language, chats.c.title, chats.c.quiet_from, chats.c.quiet_until)
        .select_from(_known(claims))
        .where(claims.c.day_ends_ms > now_ms, _takes_messages(), *has_not_written)
        .order_by(claims.c.chat_id, claims.c.local_date)
        .limit(limit)
    )


def left_over(row: Row[Any], rules: Rules, now_ms: int) -> LeftOver:
    claim = _claim_of(row)
    return LeftOver(claim=claim, recipient=held(claim.recipient, quiet_hours_of(row) or rules.quiet_hours, now_ms))


def _claim_of(row: Row[Any]) -> Claim:
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
        first_key=row.first_key,
    )


def _keys(rows: Iterable[Row[Any]]) -> set[Key]:
    return {(row.bot_id, row.chat_id, row.local_date, row.campaign) for row in rows}


def _key(wanted: FromClause) -> list[ColumnElement[Any]]:
    return [wanted.c[name] for name in KEY]


def _order(wanted: FromClause) -> list[ColumnElement[Any]]:
    """Return the same order for all processes; its first is an expression, so that it is not read from an index."""
    return [wanted.c.chat_id.concat(""), wanted.c.bot_id, wanted.c.local_date, wanted.c.campaign]


def _key_of(claims: ReadOnlyColumnCollection[str, Column[Any]]) -> ColumnElement[str]:
    """Return ``Claim.dedup_key``."""
    parts = CAMPAIGN, claims.campaign, ":", claims.chat_id, ":", claims.local_date
    return functools.reduce(lambda key, part: key.concat(part), parts[1:], literal(parts[0], Text))


def _under_present_ids(rows: FromClause) -> FromClause:
    """Return the rows of claims with the ids that their chats have now: one may have moved since."""
    alias_of = select(chats.c.alias_of).where(_is_chat_of(rows)).correlate(rows).scalar_subquery()
    present = func.coalesce(alias_of, rows.c.chat_id).label("chat_id")
    return select(*(present if each.name == "chat_id" else each for each in rows.c)).subquery("present")


def _known(wanted: FromClause) -> FromClause:
    return JoinInOrder(wanted, chats, _is_chat_of(wanted))


def _is_chat_of(rows: FromClause) -> ColumnElement[bool]:
    return and_(chats.c.bot_id == rows.c.bot_id, chats.c.chat_id == rows.c.chat_id)


def _is_allowed(wanted: FromClause) -> ColumnElement[bool]:
    has_not_ended = wanted.c.day_ends_ms > wanted.c.claimed_at_ms
    is_claimed = exists().where(*_of_date(wanted), campaign_claims.c.campaign == wanted.c.campaign)
    return and_(_takes_messages(), has_not_ended, _taken(wanted) < wanted.c.cap, ~is_claimed)


def _takes_messages() -> ColumnElement[bool]:
    return and_(chats.c.reachable.is_(True), chats.c.opted_out_at_ms.is_(None), is_present())


def _taken(wanted: FromClause) -> ScalarSelect[int]:
    """Return how many slots of the chat and date are taken; as none is given back, that is the next one."""
    counted = select(func.count()).select_from(campaign_claims).where(*_of_date(wanted))
    return counted.correlate(wanted).scalar_subquery()


def _of_date(wanted: FromClause) -> tuple[ColumnElement[bool], ...]:
    claims = campaign_claims.c
    return tuple(claims[name] == wanted.c[name] for name in ("bot_id", "chat_id", "local_date"))
