from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from tempogram.engine.model.selection import QuietHours, Recipient, Rules, Selection
from tempogram.engine.ports.audience import Claim
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import campaign_claims, chats
from tempogram.storage.ledger.chats import move
from tempogram.storage.selection.audience import SqlAudience
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite
from tests.storage.selection.reference import ChatRow
from tests.storage.selection.rows import fill

CHATS = 300
DAY_MS = 86_400_000
EVERY_CHAT = Selection(bot_id=BOT)


def recipient(chat_id: int, *, local_date: str = "2026-03-29", day_ends_ms: int = NOW_MS + 1) -> Recipient:
    return Recipient(chat_id=chat_id, zone="UTC", local_date=local_date, not_before_ms=None, day_ends_ms=day_ends_ms)


ALL = [recipient(chat_id) for chat_id in range(1, CHATS + 1)]


def rules(campaign: str, daily_cap: int | None = None) -> Rules:
    return Rules(campaign=campaign, daily_cap=daily_cap)


async def left_over(
    audience: SqlAudience, selection: Selection = EVERY_CHAT, *, now_ms: int = NOW_MS, **paged: Any
) -> list[Claim]:
    found = await audience.unsubmitted(selection, rules("weekly"), now_ms=now_ms, **paged)
    return [each.claim for each in found]


def at(time: str) -> int:
    """Return a time of 2026-03-29, UTC."""
    return round(datetime.fromisoformat(f"2026-03-29T{time}+00:00").timestamp() * 1_000)


def of_day(chat_id: int) -> Recipient:
    return recipient(chat_id, day_ends_ms=at("00:00") + DAY_MS)


async def most_claims(database: Database) -> int:
    """Return the largest number of claims that a chat has on a date."""
    per_chat = select(func.count().label("claims")).select_from(campaign_claims)
    counted = per_chat.group_by(campaign_claims.c.chat_id, campaign_claims.c.local_date).subquery()
    async with database.reading() as connection:
        return int((await connection.execute(select(func.max(counted.c.claims)))).scalar() or 0)


async def claims(database: Database) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(campaign_claims))).scalar_one())


async def opt_out(database: Database, chat_id: int) -> None:
    def write(connection: Connection) -> None:
        connection.execute(update(chats).where(chats.c.chat_id == str(chat_id)).values(opted_out_at_ms=1))

    await database.write_alone(write)


class ClaimsContract:
    @pytest.fixture
    async def audience(self, database: Database) -> SqlAudience:
        await fill(database, [ChatRow(chat_id=str(each.chat_id)) for each in ALL])
        return SqlAudience(database)

    async def test_a_campaign_claims_a_chat_once_on_a_date(self, audience: SqlAudience) -> None:
        first = await audience.claim(ALL[:2], rules("weekly"), bot_id=BOT, now_ms=NOW_MS)
        again = await audience.claim(ALL[:3], rules("weekly"), bot_id=BOT, now_ms=NOW_MS)
        next_day = await audience.claim(
            [replace(ALL[0], local_date="2026-03-30")], rules("weekly"), bot_id=BOT, now_ms=NOW_MS
        )

        assert [claim.recipient.chat_id for claim in first] == [1, 2]
        assert [claim.recipient.chat_id for claim in again] == [3]
        assert [claim.dedup_key for claim in next_day] == ["campaign:weekly:1:2026-03-30"]

    async def test_the_daily_cap_is_of_all_campaigns_together(self, audience: SqlAudience) -> None:
        won = [
            len(await audience.claim(ALL[:1], rules(name, daily_cap=2), bot_id=BOT, now_ms=NOW_MS))
            for name in ("weekly", "digest", "news")
        ]

        assert won == [1, 1, 0]

    async def test_a_campaign_without_a_cap_counts_against_that_of_another(self, audience: SqlAudience) -> None:
        await audience.claim(ALL[:1], rules("weekly"), bot_id=BOT, now_ms=NOW_MS)

        assert await audience.claim(ALL[:1], rules("digest", daily_cap=1), bot_id=BOT, now_ms=NOW_MS) == []

    async def test_a_thousand_chats_are_claimed_in_a_few_statements(self, audience: SqlAudience) -> None:
        won = await audience.claim(ALL * 4, rules("weekly"), bot_id=BOT, now_ms=NOW_MS)

        assert len(won) == CHATS

    async def test_a_chat_that_has_opted_out_since_is_not_claimed(
        self, audience: SqlAudience, database: Database
    ) -> None:
        await opt_out(database, 1)

        won = await audience.claim(ALL[:2], rules("weekly"), bot_id=BOT, now_ms=NOW_MS)

        assert [claim.recipient.chat_id for claim in won] == [2]

    async def test_a_date_that_has_ended_is_not_claimed(self, audience: SqlAudience) -> None:
        late = recipient(1, day_ends_ms=NOW_MS)

        assert await audience.claim([late], rules("weekly"), bot_id=BOT, now_ms=NOW_MS) == []

    async def test_campaigns_that_claim_at_the_same_moment_share_the_slots(
        self, audience: SqlAudience, database: Database
    ) -> None:
        names = [f"campaign {number}" for number in range(6)]

        won = await asyncio.gather(
            *(audience.claim(ALL, rules(name, daily_cap=4), bot_id=BOT, now_ms=NOW_MS) for name in names)
        )

        assert sum(map(len, won)) == 4 * CHATS == await claims(database)
        assert await most_claims(database) == 4

    async def test_what_was_not_submitted_is_found_again(self, audience: SqlAudience) -> None:
        held = replace(ALL[0], not_before_ms=NOW_MS + 5, day_ends_ms=NOW_MS + 9)
        won = await audience.claim([held, ALL[1], ALL[2]], rules("weekly"), bot_id=BOT, now_ms=NOW_MS)
        await audience.note_submitted([replace(won[1], message_id="m2")])

        left = await left_over(audience)

        assert left == [won[0], won[2]]
        assert left[0].recipient == held
        assert await left_over(audience, after="1") == [won[2]]
        assert await left_over(audience, limit=1) == [won[0]]
        assert await left_over(audience, Selection(bot_id=BOT + 1)) == []
        assert await left_over(audience, now_ms=NOW_MS + 1) == [won[0]]

    async def test_a_claim_of_a_chat_that_has_opted_out_since_is_not_found_again(
        self, audience: SqlAudience, database: Database
    ) -> None:
        await audience.claim(ALL[:1], rules("weekly"), bot_id=BOT, now_ms=NOW_MS)

        await opt_out(database, 1)

        assert await left_over(audience) == []

    async def test_a_claim_that_is_found_again_in_quiet_hours_is_held_until_they_end(
        self, audience: SqlAudience, database: Database
    ) -> None:
        await fill(database, [ChatRow(chat_id="1", quiet=(13 * 60, 15 * 60)), ChatRow(chat_id="2")])
        await audience.claim([of_day(1), of_day(2)], rules("weekly"), bot_id=BOT, now_ms=at("12:00"))

        own, of_campaign = await audience.unsubmitted(
            EVERY_CHAT,
            replace(rules("weekly"), quiet_hours=QuietHours(from_minute=13 * 60, until_minute=14 * 60)),
            now_ms=at("13:30"),
        )

        assert own.recipient == replace(of_day(1), not_before_ms=at("15:00"))
        assert of_campaign.recipient == replace(of_day(2), not_before_ms=at("14:00"))
        assert not own.is_of_another_date

    async def test_a_claim_whose_quiet_hours_end_on_the_next_date_counts_on_that_and_is_submitted_once(
        self, audience: SqlAudience
    ) -> None:
        nightly = replace(rules("weekly"), quiet_hours=QuietHours(from_minute=22 * 60, until_minute=8 * 60))
        (won,) = await audience.claim([of_day(1)], nightly, bot_id=BOT, now_ms=at("21:50"))
        late = await audience.unsubmitted(EVERY_CHAT, nightly, now_ms=at("22:10"))

        postponed = await audience.postpone(late, nightly, now_ms=at("22:10"))
        again = await audience.unsubmitted(EVERY_CHAT, nightly, now_ms=at("22:25"))

        (claim,) = postponed
        assert (claim.recipient.local_date, claim.recipient.not_before_ms) == ("2026-03-30", at("08:00") + DAY_MS)
        assert claim.dedup_key == won.dedup_key
        assert [(each.claim, each.is_of_another_date) for each in again] == [(claim, False)]

    async def test_a_claim_is_postponed_only_as_far_as_the_cap_of_the_next_date_allows(
        self, audience: SqlAudience
    ) -> None:
        nightly = replace(rules("weekly", 1), quiet_hours=QuietHours(from_minute=22 * 60, until_minute=8 * 60))
        tomorrow = replace(of_day(1), local_date="2026-03-30", day_ends_ms=of_day(1).day_ends_ms + DAY_MS)
        await audience.claim([of_day(1)], nightly, bot_id=BOT, now_ms=at("21:50"))
        await audience.claim([tomorrow], rules("digest"), bot_id=BOT, now_ms=at("22:00"))
        late = await audience.unsubmitted(EVERY_CHAT, nightly, now_ms=at("22:10"))

        assert await audience.postpone(late, nightly, now_ms=at("22:10")) == []
        assert await audience.unsubmitted(EVERY_CHAT, nightly, now_ms=at("22:25")) == []

    async def test_who_has_written_since_is_not_written_to_for_having_been_quiet(
        self, audience: SqlAudience, database: Database
    ) -> None:
        await audience.claim(ALL[:2], rules("weekly"), bot_id=BOT, now_ms=NOW_MS - 5)
        await database.write_alone(
            lambda connection: connection.execute(
                update(chats).where(chats.c.chat_id == "1").values(last_message_in_at_ms=NOW_MS)
            )
        )

        for_being_quiet = await left_over(audience, Selection(bot_id=BOT, wrote_days_ago=7))
        for_all = await left_over(audience)

        assert [each.recipient.chat_id for each in for_being_quiet] == [2]
        assert [each.recipient.chat_id for each in for_all] == [1, 2]

    async def test_a_group_that_becomes_a_supergroup_keeps_its_claims_and_their_keys(
        self, audience: SqlAudience, database: Database
    ) -> None:
        await fill(database, [ChatRow(chat_id="-5"), ChatRow(chat_id="-1005")])
        (weekly,) = await audience.claim([recipient(-5)], rules("weekly"), bot_id=BOT, now_ms=NOW_MS - 1)
        await audience.claim([recipient(-5)], rules("news"), bot_id=BOT, now_ms=NOW_MS - 1)
        await audience.claim([recipient(-1_005)], rules("digest"), bot_id=BOT, now_ms=NOW_MS - 1)
        await audience.claim([recipient(-1_005)], rules("news"), bot_id=BOT, now_ms=NOW_MS - 1)

        await database.write_alone(lambda connection: move(connection, BOT, -5, -1_005, NOW_MS))

        new = [recipient(-1_005)]
        assert await audience.claim(new, rules("weekly"), bot_id=BOT, now_ms=NOW_MS) == []
        assert await audience.claim(new, rules("spring", 3), bot_id=BOT, now_ms=NOW_MS) == []
        assert await audience.claim([recipient(-5)], rules("spring"), bot_id=BOT, now_ms=NOW_MS) == []
        assert len(await audience.claim(new, rules("spring", 4), bot_id=BOT, now_ms=NOW_MS)) == 1
        (left,) = await left_over(audience)
        assert (left.recipient.chat_id, left.dedup_key) == (-1_005, weekly.dedup_key)

    async def test_a_message_is_noted_though_its_group_got_another_id_while_it_was_submitted(
        self, audience: SqlAudience, database: Database
    ) -> None:
        await fill(database, [ChatRow(chat_id="-5"), ChatRow(chat_id="-1005")])
        (claim,) = await audience.claim([recipient(-5)], rules("weekly"), bot_id=BOT, now_ms=NOW_MS - 1)
        await database.write_alone(lambda connection: move(connection, BOT, -5, -1_005, NOW_MS))

        await audience.note_submitted([replace(claim, message_id="m1")])

        assert await left_over(audience) == []


class TestClaimsOnSqlite(OnSqlite, ClaimsContract):
    pass


class TestClaimsOnPostgres(OnPostgres, ClaimsContract):
    @pytest.fixture
    async def others(self, url: str) -> AsyncIterator[list[SqlAudience]]:
        """Other processes on the same database."""
        opened = [await Database.open(url) for _ in range(3)]
        yield [SqlAudience(database) for database in opened]
        for database in opened:
            await database.close()

    @pytest.mark.parametrize("cap", [2, 4])
    async def test_processes_that_claim_for_a_campaign_each_never_exceed_the_cap_nor_lose_a_slot(
        self, audience: SqlAudience, others: list[SqlAudience], database: Database, cap: int
    ) -> None:
        processes = [audience, *others]

        won = await asyncio.gather(
            *(
                process.claim(ALL, rules(f"campaign {number}", daily_cap=cap), bot_id=BOT, now_ms=NOW_MS)
                for number, process in enumerate(processes)
            )
        )

        assert sum(map(len, won)) == cap * CHATS == await claims(database)
        assert await most_claims(database) == cap

    async def test_processes_that_claim_for_one_campaign_get_each_chat_once(
        self, audience: SqlAudience, others: list[SqlAudience], database: Database
    ) -> None:
        won = await asyncio.gather(
            *(process.claim(ALL, rules("weekly"), bot_id=BOT, now_ms=NOW_MS) for process in [audience, *others])
        )

        assert sum(map(len, won)) == CHATS == await claims(database)
