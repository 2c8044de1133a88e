"""Campaigns that run at any times and are killed at any moments keep caps, quiet hours and dates."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tempogram.engine.model.selection import QuietHours, Reason, Recipient, Rules, Selection
from tempogram.engine.ports.audience import Claim
from tempogram.engine.selection.campaign import Campaign
from tempogram.storage.database.database import Database
from tempogram.storage.selection.audience import SqlAudience
from tests.storage.backends import BOT, OnPostgres, OnSqlite
from tests.storage.selection.reference import ChatRow, minute_of, quiet_of, wall, zone_of
from tests.storage.selection.rows import fill

MINUTE_MS = 60_000
ZONES = [None, "Asia/Kathmandu", "Pacific/Kiritimati", "Europe/Berlin"]
QUIET = [None, (22 * 60, 8 * 60), (0, 6 * 60 + 30), (13 * 60, 19 * 60)]
STARTS = ["2026-01-15T12:00", "2026-03-28T20:00", "2026-10-24T20:00"]  # the last two before clocks change

chat_rows = st.builds(
    ChatRow,
    chat_id=st.integers(1, 10**6).map(str),
    time_zone=st.sampled_from(ZONES),
    quiet=st.sampled_from(QUIET),
    opted_out=st.sampled_from([False, False, False, True]),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A campaign runs after so many minutes. ``killed_at``: with which of its claims its process dies, and when."""

    after_min: int
    campaign: str
    portion: int
    killed_at: tuple[int, str] | None


steps = st.builds(
    Step,
    after_min=st.sampled_from([0, 15, 75, 4 * 60, 7 * 60, 11 * 60, 24 * 60]),
    campaign=st.sampled_from(["weekly", "weekly", "news"]),
    portion=st.sampled_from([4, 1]),
    killed_at=st.one_of(st.none(), st.tuples(st.integers(0, 1), st.sampled_from(["before submit", "before note"]))),
)


@dataclass
class Life:
    """What campaigns have submitted to some chats, by ``dedup_key`` as the ledger has it."""

    audience: SqlAudience
    rows: list[ChatRow]
    rules: dict[str, Rules]
    now_ms: int
    accepted: dict[str, tuple[str, Recipient, int]] = field(default_factory=dict)

    async def live(self, step: Step) -> None:
        self.now_ms += step.after_min * MINUTE_MS
        rules, selection = self.rules[step.campaign], Selection(bot_id=BOT)
        left_over = await self.audience.unsubmitted(selection, rules, now_ms=self.now_ms)
        before = await self.audience.preview(selection, rules, now_ms=self.now_ms)
        given = await self._run(
            step, Campaign(self.audience, selection, rules, clock=self._clock, portion=step.portion)
        )
        if given is None or left_over:
            return
        after = await self.audience.preview(selection, rules, now_ms=self.now_ms)
        assert len(given) == before.selected
        assert sum(each.recipient.not_before_ms is not None for each in given) == before.held
        notified = Reason.ALREADY_NOTIFIED
        assert (after.selected, after.left_out.get(notified, 0)) == (
            0,
            before.left_out.get(notified, 0) + before.selected,
        )

    async def _run(self, step: Step, campaign: Campaign) -> list[Claim] | None:
        """Return the claims that were given; None: the process was killed."""
        dies_with, moment = step.killed_at or (-1, "")
        given: list[Claim] = []
        async with aclosing(cast("AsyncGenerator[Claim, None]", campaign.claims())) as claims:
            async for claim in claims:
                is_last = len(given) == dies_with
                given.append(claim)
                if is_last and moment == "before submit":
                    return None
                goes_at_ms = max(self.now_ms, claim.recipient.not_before_ms or 0)
                self.accepted.setdefault(claim.dedup_key, (claim.campaign, claim.recipient, goes_at_ms))
                if is_last:
                    return None
                await campaign.note(claim, f"message of {claim.dedup_key}")
        return given

    def check(self) -> None:
        by_date, by_campaign = Counter[tuple[str, str]](), Counter[tuple[str, str, str]]()
        known = {row.chat_id: row for row in self.rows}
        for campaign, recipient, goes_at_ms in self.accepted.values():
            row, rules = known[str(recipient.chat_id)], self.rules[campaign]
            goes = wall(zone_of(row, rules), goes_at_ms)
            begin, end = quiet_of(row, rules) or (0, 0)
            minute = minute_of(goes)
            assert not (begin <= minute < end if begin <= end else minute >= begin or minute < end)
            assert goes.date().isoformat() == recipient.local_date
            assert not row.opted_out
            by_date[row.chat_id, recipient.local_date] += 1
            by_campaign[row.chat_id, recipient.local_date, campaign] += 1
        assert max(by_campaign.values(), default=0) <= 1
        for (chat_id, _), count in by_date.items():
            assert count <= min(rules.daily_cap or count for rules in self.rules.values()), chat_id

    def _clock(self) -> int:
        return self.now_ms


class CampaignsContract:
    @pytest.fixture
    def runner(self) -> Iterator[asyncio.Runner]:
        with asyncio.Runner() as runner:
            yield runner

    @pytest.fixture
    def opened(self, runner: asyncio.Runner, url: str) -> Iterator[Database]:
        database = runner.run(Database.open(url))
        yield database
        runner.run(database.close())

    @settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck), deadline=None)
    @given(
        start=st.sampled_from(STARTS),
        rows=st.lists(chat_rows, min_size=2, max_size=5, unique_by=lambda row: row.chat_id),
        cap=st.integers(1, 2),
        quiet=st.sampled_from(QUIET),
        lived=st.lists(steps, min_size=4, max_size=8),
    )
    def test_no_chat_gets_more_than_its_cap_nor_anything_in_its_quiet_hours_nor_twice_on_a_date_whatever_dies(
        self,
        runner: asyncio.Runner,
        opened: Database,
        start: str,
        rows: list[ChatRow],
        cap: int,
        quiet: tuple[int, int] | None,
        lived: list[Step],
    ) -> None:
        hours = None if quiet is None else QuietHours(from_minute=quiet[0], until_minute=quiet[1])
        rules = {name: Rules(campaign=name, quiet_hours=hours, daily_cap=cap) for name in ("weekly", "news")}
        start_ms = round(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() * 1_000)
        life = Life(SqlAudience(opened), rows, rules, start_ms)

        runner.run(_live(opened, life, lived))

        life.check()


async def _live(database: Database, life: Life, lived: list[Step]) -> None:
    await fill(database, life.rows)
    for step in lived:
        await life.live(step)


class TestCampaignsOnSqlite(OnSqlite, CampaignsContract):
    pass


class TestCampaignsOnPostgres(OnPostgres, CampaignsContract):
    pass
