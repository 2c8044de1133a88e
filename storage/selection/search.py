"""One selection over the chats of a bot, at one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Self

from sqlalchemy import ColumnElement, FromClause, Row, Select, func, select

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.selection import Recipient, Rules, Selection
from tempogram.engine.selection.quiet import next_time_ms
from tempogram.storage.chat_facts import quiet_hours_of
from tempogram.storage.database.database import Database
from tempogram.storage.ledger import chat_ids
from tempogram.storage.selection.chosen import NOT_LEFT_OUT, ZONES, Chosen
from tempogram.storage.selection.windows import LISTED, Window, in_order, last_of_window, listed_window, window
from tempogram.storage.selection.zones import ZONES_MAX, ZoneDay, due_zones, zones_as_json, zones_of_bot

FEW = 20_000
"""So many chats or fewer are looked up by their last message, and sorted for each page; of more, each chat is read, so
many at once. untuned: 20 ms a page."""


class Search:
    """Reads chats in pieces. Begin it with ``Search.begin``.

    Args:
        days: The zones in which it is due now.
    """

    def __init__(
        self, database: Database, selection: Selection, rules: Rules, now_ms: int, days: Mapping[str, ZoneDay]
    ) -> None:
        self._database = database
        self._selection = selection
        self._rules = rules
        self._now_ms = now_ms
        self._days = days
        self._parameters = {ZONES: zones_as_json(days.values())}
        self._listed = in_order(selection.chats)
        self._by_zone = False
        self._chosen = self._query(by_zone=False)
        self._held_until: dict[tuple[str, int], int] = {}

    @classmethod
    async def begin(cls, database: Database, selection: Selection, rules: Rules, *, now_ms: int) -> Self:
        """Find the zones that are due, and the way to their chats."""
        async with database.reading() as connection:
            names = (await connection.execute(zones_of_bot(), {"bot_id": selection.bot_id})).scalars().all()
        if len(names) >= ZONES_MAX:
            raise LedgerError(f"the chats of bot {selection.bot_id} have {ZONES_MAX:,} time zones or more")
        search = cls(database, selection, rules, now_ms, due_zones(names, selection, rules, now_ms=now_ms))
        await search._choose_way()
        return search

    async def windows(self, after: str = "", *, size: int) -> AsyncIterator[Window]:
        """Give the pieces of the chats from an id on, of ``size`` chats or fewer; by zone they are one."""
        if not self._days:
            return
        if self._by_zone:
            yield Window(self._chosen.chat_id > after, after)
        elif self._selection.chats:
            while (piece := listed_window(self._listed, after, min(size, LISTED))) is not None:
                yield piece
                after = piece.last
        else:
            while last := (await self._rows(last_of_window(self._selection, after, size)))[0][0]:
                yield window(self._selection, after, last)
                after = last

    async def recipients(self, piece: Window, *, limit: int) -> list[Recipient]:
        """Return who is selected of a piece, up to a limit."""
        rows = self._chosen.rows(piece.condition)
        selected = select(rows).where(rows.c.reason == NOT_LEFT_OUT)
        if self._selection.chats:  # in the order of ``in_order``, from which that of a database may differ
            found = sorted(await self._rows(selected), key=attrgetter("chat_id"))[:limit]
        else:
            found = await self._rows(selected.order_by(self._order(rows)).limit(limit))
        return [self._recipient(row) for row in found]

    def _order(self, rows: FromClause) -> ColumnElement[str]:
        """Return an order by id.

        PostgreSQL compares each chat with each zone to keep the order of an index (``enable_sort`` is off). Where it
        must sort anyway, it looks zones up by hash; but of tags it then joins all, until it knows how many there are.
        """
        chat_id: ColumnElement[str] = rows.c.chat_id
        has_tags = self._selection.tags or self._selection.without_tags
        return chat_id if has_tags or self._database.dialect != "postgresql" else chat_id.concat("")

    async def counts(self, piece: Window) -> Sequence[Row[Any]]:
        """Count the chats of a piece: ``reason``, ``is_held``, ``chats``."""
        rows = self._chosen.rows(piece.condition)
        counted = select(rows.c.reason, rows.c.is_held, func.count().label("chats"))
        return await self._rows(counted.group_by(rows.c.reason, rows.c.is_held))

    async def _choose_way(self) -> None:
        chosen = self._selection
        is_bounded = (chosen.wrote_days_ago, chosen.active_days, self._rules.at_minute) != (None, None, None)
        if chosen.chats or not is_bounded or not self._days:
            return
        by_zone = self._query(by_zone=True)
        if (await self._rows(by_zone.count_up_to(FEW + 1)))[0][0] <= FEW:
            self._by_zone, self._chosen = True, by_zone

    def _query(self, *, by_zone: bool) -> Chosen:
        return Chosen(self._database.dialect, self._selection, self._rules, by_zone=by_zone)

    async def _rows(self, query: Select[Any]) -> list[Row[Any]]:
        async with self._database.reading() as connection:
            result = await connection.execute(query, self._parameters)
            return list(result)

    def _recipient(self, row: Row[Any]) -> Recipient:
        day = self._days[row.zone]
        return Recipient(
            chat_id=chat_ids.required(row.chat_id),
            zone=day.place,
            local_date=day.next_on if row.is_over else day.on,
            not_before_ms=self._quiet_until_ms(day.place, row.held_until) if row.is_held else None,
            day_ends_ms=day.next_ends_ms if row.is_over else day.ends_ms,
            language=row.language,
            title=row.title,
            quiet_hours=quiet_hours_of(row),
        )

    def _quiet_until_ms(self, zone: str, minute: int) -> int:
        key = zone, minute
        if key not in self._held_until:
            self._held_until[key] = next_time_ms(zone, self._now_ms, minute)
        return self._held_until[key]
