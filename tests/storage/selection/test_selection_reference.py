"""Any chats, zones, instants and rules: the same as chat by chat, and minute by minute."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tempogram.engine.model.selection import QuietHours, Recipient, Rules, Selection
from tempogram.storage.database.database import Database
from tempogram.storage.selection import audience as audiences
from tempogram.storage.selection import search as searches
from tempogram.storage.selection.audience import SqlAudience
from tests.storage.backends import BOT, OnPostgres, OnSqlite
from tests.storage.selection.reference import ChatRow, answers
from tests.storage.selection.rows import fill

DAY_MS = 86_400_000
ZONES = sorted(available_timezones())
CROWDED = ["America/Los_Angeles", "Europe/Berlin", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe"]
FIRST = datetime(2021, 1, 1, tzinfo=UTC)
LAST = datetime(2030, 1, 1, tzinfo=UTC)


def changes_of_clocks(zone: str) -> list[int]:
    """Return when the clocks of a zone change, to the hour."""
    known = ZoneInfo(zone)
    hours = [FIRST + timedelta(hours=n) for n in range(0, int((LAST - FIRST) / timedelta(hours=1)), 1)]
    offsets = [(hour, hour.astimezone(known).utcoffset()) for hour in hours]
    return [round(after[0].timestamp() * 1_000) for before, after in pairwise(offsets) if before[1] != after[1]]


CHANGES = [
    at_ms for zone in ("Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo") for at_ms in changes_of_clocks(zone)
]


def instants() -> st.SearchStrategy[int]:
    anywhere = st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC))
    near = st.builds(lambda change, ms: change + ms, st.sampled_from(CHANGES), st.integers(-DAY_MS, DAY_MS))
    return st.one_of(near, anywhere.map(lambda at: round(at.timestamp() * 1_000)))


minutes = st.integers(0, 24 * 60 - 1)
names = st.sampled_from(["weekly", "digest", "news"])
tags = st.frozensets(st.sampled_from(["vip", "beta", "a_b", "ä"]), max_size=3)
zone_names = st.one_of(st.none(), st.sampled_from(CROWDED), st.sampled_from(ZONES), st.just("Nowhere/Atlantis"))


@st.composite
def chat_rows(draw: st.DrawFn, now_ms: int) -> ChatRow:
    ago = st.one_of(st.none(), st.integers(0, 9 * DAY_MS).map(lambda ms: now_ms - ms))
    day = datetime.fromtimestamp(now_ms / 1_000, UTC).date()
    dates = st.integers(-1, 1).map(lambda days: (day + timedelta(days=days)).isoformat())
    return ChatRow(
        chat_id=draw(
            st.one_of(
                st.integers(1, 10**6).map(str),
                st.integers(-(10**13), -1).map(str),
                st.sampled_from(["@news", "business:shop:7"]),
            )
        ),
        type=draw(st.sampled_from(["private", "private", "group", None])),
        time_zone=draw(zone_names),
        language=draw(st.sampled_from([None, "de", "pt-br", "pt", "ptx", "DE-at"])),
        tags=draw(tags),
        reachable=draw(st.sampled_from([True, True, True, False])),
        opted_out=draw(st.sampled_from([False, False, False, True])),
        alias_of=draw(st.sampled_from([None, None, None, None, "-1009"])),
        last_in_ms=draw(ago),
        last_out_ms=draw(ago),
        quiet=draw(st.one_of(st.none(), st.tuples(minutes, minutes))),
        claims=draw(st.frozensets(st.tuples(dates, names), max_size=4)),
    )


days = st.one_of(st.none(), st.integers(0, 8))


@st.composite
def selections(draw: st.DrawFn, chat_ids: list[str]) -> Selection:
    listed = st.lists(st.sampled_from([*chat_ids, "4"]), max_size=9) if draw(st.booleans()) else st.just([])
    return Selection(
        bot_id=BOT,
        types=draw(st.sampled_from([("private",), (), ("private", "group"), ("group",)])),
        chats=tuple(int(each) if each[0] in "-123456789" else each for each in draw(listed)),
        tags=tuple(draw(st.one_of(st.just(frozenset[str]()), tags))),
        without_tags=tuple(draw(st.one_of(st.just(frozenset[str]()), tags))),
        languages=draw(st.sampled_from([(), (), ("pt",), ("DE", "pt-BR")])),
        wrote_days_ago=draw(days),
        active_days=draw(days),
        quiet_days=draw(days),
    )


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    return Rules(
        campaign=draw(names),
        default_zone=draw(st.sampled_from(CROWDED)),
        at_minute=draw(st.one_of(st.none(), st.none(), st.integers(0, 23).map(lambda hour: hour * 60))),
        quiet_hours=draw(st.one_of(st.none(), st.builds(QuietHours, from_minute=minutes, until_minute=minutes))),
        daily_cap=draw(st.one_of(st.none(), st.integers(0, 3))),
        not_if_written_today=draw(st.booleans()),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    now_ms = draw(instants())
    rows = draw(st.lists(chat_rows(now_ms), max_size=25, unique_by=lambda row: row.chat_id))
    asked = draw(selections([row.chat_id for row in rows]))
    return Case(
        now_ms, rows, asked, draw(rules()), few=draw(st.sampled_from([0, 20_000])), page=draw(st.integers(1, 9))
    )


@dataclass(frozen=True, slots=True)
class Case:
    now_ms: int
    rows: list[ChatRow]
    selection: Selection
    rules: Rules
    few: int
    page: int


class ReferenceContract:
    @pytest.fixture
    def runner(self) -> Iterator[asyncio.Runner]:
        with asyncio.Runner() as runner:
            yield runner

    @pytest.fixture
    def opened(self, runner: asyncio.Runner, url: str) -> Iterator[Database]:
        database = runner.run(Database.open(url))
        yield database
        runner.run(database.close())

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(cases())
    def test_the_same_chats_are_chosen_for_the_same_reasons_as_one_by_one(
        self, runner: asyncio.Runner, opened: Database, case: Case
    ) -> None:
        runner.run(_compare(opened, case))


async def _compare(database: Database, case: Case) -> None:
    await fill(database, case.rows)
    expected, counts = answers(case.rows, case.selection, case.rules, case.now_ms)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(searches, "FEW", case.few)
        for name in ("WINDOW", "COUNTED"):
            patched.setattr(audiences, name, case.page)
        patched.setattr(searches, "LISTED", case.page)
        found = await _all_pages(SqlAudience(database), case)
        preview = await SqlAudience(database).preview(case.selection, case.rules, now_ms=case.now_ms)
    assert sorted(found, key=_id) == sorted(expected, key=_id)
    assert preview == counts


def _id(recipient: Recipient) -> str:
    return str(recipient.chat_id)


async def _all_pages(audience: SqlAudience, case: Case) -> list[Recipient]:
    found: list[Recipient] = []
    after = ""
    while page := await audience.page(case.selection, case.rules, now_ms=case.now_ms, after=after, limit=case.page):
        assert len(page) <= case.page
        found += page
        after = str(page[-1].chat_id)
    return found


class TestReferenceOnSqlite(OnSqlite, ReferenceContract):
    pass


class TestReferenceOnPostgres(OnPostgres, ReferenceContract):
    pass
