"""Which chats are meant, and why some of them are left out: one query over the chats and what day it is for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from tempogram.engine.model.conversations import BUSINESS
from tempogram.engine.model.selection import Reason, Rules, Selection
from tempogram.storage.database.dialects import JoinInOrder
from tempogram.storage.database.json_rows import json_rows
from tempogram.storage.database.models import campaign_claims, chat_tags, chats
from tempogram.storage.selection.zones import COLUMNS, UNKNOWN

PRIVATE = "private"
ZONES = "zones"
"""The parameter; see ``zones_as_json``."""

NOT_LEFT_OUT = ""


class Chosen:
    """The query of one selection and its rules, in the dialect of a database.

    Args:
        by_zone: Look the chats up zone by zone, by the index of their last messages. It is for few chats; otherwise
            each chat is read, and its zone looked up.
    """

    def __init__(self, dialect: str, selection: Selection, rules: Rules, *, by_zone: bool) -> None:
        self._zones = json_rows(dialect, ZONES, COLUMNS)
        self._selection = selection
        self._rules = rules
        self._by_zone = by_zone
        # Looked up by zone, an expression: its order cannot be read from the index of ids, which has all chats.
        self.chat_id: ColumnElement[str] = chats.c.chat_id.concat("") if by_zone else chats.c.chat_id

    def rows(self, *narrower: ColumnElement[bool]) -> Subquery:
        """Return a row for each chat that is meant.

        Its columns are ``chat_id``, ``zone`` (a key of the zones), ``is_held``, ``is_over`` (its quiet hours end on
        the next date), ``held_until``, ``reason`` (why it is left out, or ''), ``language``, ``title``,
        and its own ``quiet_from`` and ``quiet_until``.
        """
        return union_all(*(self._arm(on, narrower) for on in self._joins())).subquery("chosen")

    def count_up_to(self, limit: int) -> Select[int]:
        """Count the chats that the index of last messages finds, up to about a limit."""
        found = union_all(*(self._indexed(on, limit) for on in self._joins())).subquery("found")
        return select(func.count()).select_from(found)

    def _indexed(self, on: ColumnElement[bool], limit: int) -> Select[Any]:
        found = select(literal(1).label("one")).select_from(self._joined(on))
        return select(found.limit(limit).subquery().c.one)

    def _joins(self) -> list[ColumnElement[bool]]:
        """Return how chats find their zones: by two ways of which each is a look into an index, or by one."""
        zone = self._zones.c.zone
        if self._by_zone:
            return [zone == chats.c.time_zone, and_(zone == UNKNOWN, chats.c.time_zone.is_(None))]
        return [zone == func.coalesce(chats.c.time_zone, UNKNOWN)]

    def _arm(self, on: ColumnElement[bool], narrower: Sequence[ColumnElement[bool]]) -> Select[Any]:
        zone = self._zones.c
        quiet_until = self._quiet(chats.c.quiet_until, "until_minute")
        is_held = self._is_held(self._quiet(chats.c.quiet_from, "from_minute"), quiet_until)
        is_over = and_(is_held, zone.minute >= quiet_until)
        return (
            select(
                self.chat_id.label("chat_id"),
                zone.zone,
                is_held.label("is_held"),
                is_over.label("is_over"),
                quiet_until.label("held_until"),
                self._reason(is_over).label("reason"),
                chats.c.language,
                chats.c.title,
                chats.c.quiet_from,
                chats.c.quiet_until,
            )
            .select_from(self._joined(on))
            .where(self._is_own(), *self._meant(), *narrower)
        )

    def _joined(self, on: ColumnElement[bool]) -> FromClause:
        """Join zones and chats by what indexes serve."""
        left, right = (self._zones, chats) if self._by_zone else (chats, self._zones)
        return JoinInOrder(left, right, and_(on, chats.c.bot_id == self._selection.bot_id, *self._activity()))

    @staticmethod
    def _is_own() -> ColumnElement[bool]:
        """Tell whether a row is a chat under its present name."""
        return and_(
            is_present(),
            ~chats.c.chat_id.startswith(BUSINESS, autoescape=True),
        )

    def _meant(self) -> list[ColumnElement[bool]]:
        chosen = self._selection
        meant: list[ColumnElement[bool]] = []
        if chosen.types:
            meant.append(_has_type(chosen.types))
        if chosen.tags:
            meant.append(_has_tag(chosen.tags))
        if chosen.without_tags:
            meant.append(~_has_tag(chosen.without_tags))
        if chosen.languages:
            meant.append(or_(*map(_speaks, chosen.languages)))
        if chosen.quiet_days is not None:
            wrote = chats.c.last_message_in_at_ms
            meant.append(or_(wrote.is_(None), wrote < self._zones.c.quiet_before_ms))
        return meant

    def _activity(self) -> list[ColumnElement[bool]]:
        """Return what the index of last messages serves."""
        wrote, zone, chosen = chats.c.last_message_in_at_ms, self._zones.c, self._selection
        found: list[ColumnElement[bool]] = []
        if chosen.wrote_days_ago is not None:
            found += [wrote >= zone.wrote_from_ms, wrote < zone.wrote_until_ms]
        if chosen.active_days is not None:
            found.append(wrote >= zone.active_from_ms)
        return found

    def _quiet(self, of_chat: ColumnElement[int | None], of_rules: str) -> ColumnElement[int]:
        quiet = self._rules.quiet_hours
        otherwise = cast(null(), Integer) if quiet is None else literal(getattr(quiet, of_rules), Integer)
        return func.coalesce(of_chat, otherwise)

    def _is_held(self, begins: ColumnElement[int], ends: ColumnElement[int]) -> ColumnElement[bool]:
        minute = self._zones.c.minute
        return case(
            (begins < ends, and_(minute >= begins, minute < ends)),
            (begins > ends, or_(minute >= begins, minute < ends)),
            else_=false(),
        )

    def _reason(self, is_over: ColumnElement[bool]) -> ColumnElement[str]:
        rules, zone = self._rules, self._zones.c
        on = case((is_over, zone.next_on), else_=zone.on)
        reasons: list[tuple[ColumnElement[bool], Reason]] = [
            (chats.c.reachable.is_(False), Reason.UNREACHABLE),
            (chats.c.opted_out_at_ms.is_not(None), Reason.OPTED_OUT),
            (self._is_claimed(on), Reason.ALREADY_NOTIFIED),
        ]
        if rules.not_if_written_today:
            starts_ms = case((is_over, zone.ends_ms), else_=zone.starts_ms)
            reasons.append((chats.c.last_message_out_at_ms >= starts_ms, Reason.WRITTEN_TODAY))
        if rules.daily_cap is not None:
            reasons.append((self._claims(on) >= rules.daily_cap, Reason.DAILY_CAP))
        return case(*((applies, reason.value) for applies, reason in reasons), else_=cast(literal(NOT_LEFT_OUT), Text))

    def _is_claimed(self, on: ColumnElement[str]) -> ColumnElement[bool]:
        return exists().where(*_claims_of_chat(on), campaign_claims.c.campaign == self._rules.campaign)

    def _claims(self, on: ColumnElement[str]) -> ColumnElement[int]:
        counted = select(func.count()).select_from(campaign_claims).where(*_claims_of_chat(on))
        return counted.correlate(chats, self._zones).scalar_subquery()


def _claims_of_chat(on: ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
    claims = campaign_claims.c
    return claims.bot_id == chats.c.bot_id, claims.chat_id == chats.c.chat_id, claims.local_date == on


def is_present() -> ColumnElement[bool]:
    """Tell whether a chat has no newer id; not by the index of aliases, which finds almost all chats.

    In this form PostgreSQL knows how many that are. Of ``coalesce(alias_of, '') = ''`` it expects 1 of 200, and then
    compares each chat with each zone.
    """
    return chats.c.alias_of.is_(None).is_not(false())


def _has_type(types: Sequence[str]) -> ColumnElement[bool]:
    has_type = chats.c.type.in_(types)
    if PRIVATE not in types:
        return has_type
    # Ids of groups and channels begin with a minus, and names with an @.
    is_user = and_(chats.c.type.is_(None), func.substr(chats.c.chat_id, 1, 1).in_(tuple("123456789")))
    return or_(has_type, is_user)


def _has_tag(tags: Sequence[str]) -> ColumnElement[bool]:
    tagged = chat_tags.c.bot_id == chats.c.bot_id, chat_tags.c.chat_id == chats.c.chat_id
    return exists().where(*tagged, chat_tags.c.tag.in_(tags))


def _speaks(language: str) -> ColumnElement[bool]:
    spoken = func.lower(chats.c.language)
    return or_(spoken == language.lower(), spoken.startswith(f"{language.lower()}-", autoescape=True))
