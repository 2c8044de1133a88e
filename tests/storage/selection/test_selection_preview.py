"""What a preview counts is what a run of re-engagement then submits."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, cast

from aiogram.methods import SendMessage

from tempogram.bot.behaviours.reengagement.settings import parse
from tempogram.bot.behaviours.reengagement.task import Reengagement
from tempogram.bot.behaviours.reengagement.writer import Writer
from tempogram.engine.model.messages import Guarantee
from tempogram.engine.model.selection import Reason
from tempogram.engine.ports.audience import Claim
from tempogram.engine.selection.campaign import Campaign
from tempogram.storage.bots import RegisteredBot
from tempogram.storage.database.database import Database
from tempogram.storage.selection.audience import SqlAudience
from tests.fakes import Clock
from tests.storage.backends import BOT, OnPostgres, OnSqlite
from tests.storage.selection.reference import ChatRow, answers
from tests.storage.selection.rows import fill

DAY_MS = 86_400_000
FOUR_PM_MS = 1_767_283_200_000
"""16:00 UTC on 2026-01-01."""

CHATS = 300
SETTINGS = {"zone": "UTC", "daily_cap": 1, "quiet_hours": {"from": "15:30", "until": "17:30"}}


def population(chance: random.Random) -> list[ChatRow]:
    """Return chats of all kinds, most of whom it is the turn of."""
    return [
        ChatRow(
            chat_id=str(number),
            time_zone=chance.choice([None, "UTC", "Africa/Accra", "Europe/London", "Europe/Berlin"]),
            reachable=chance.random() > 0.1,
            opted_out=chance.random() < 0.1,
            last_in_ms=FOUR_PM_MS - chance.choice([7, 7, 7, 6]) * DAY_MS + chance.randrange(-DAY_MS // 2, DAY_MS // 3),
            last_out_ms=chance.choice([None, FOUR_PM_MS - 3_600_000, FOUR_PM_MS - 2 * DAY_MS]),
            quiet=chance.choice([None, (13 * 60, 14 * 60), (16 * 60, 9 * 60)]),
            claims=frozenset(
                {("2026-01-01", chance.choice(["reengagement", "news"]))} if chance.random() < 0.2 else ()
            ),
        )
        for number in range(1, CHATS + 1)
    ]


class PreviewContract:
    async def test_a_run_of_reengagement_submits_what_its_preview_counts(self, database: Database) -> None:
        rows, audience, submitted = population(random.Random(17)), SqlAudience(database), list[Claim]()
        await fill(database, rows)
        settings = parse(SETTINGS)
        selection, rules = settings.selection(BOT), settings.rules()
        expected, counts = answers(rows, selection, rules, FOUR_PM_MS)

        async def submit(campaign: Campaign, claim: Claim, _method: SendMessage, _: Guarantee) -> None:
            submitted.append(claim)
            await campaign.note(claim, f"message to {claim.recipient.chat_id}")

        before = await audience.preview(selection, rules, now_ms=FOUR_PM_MS)
        await reengagement(audience, submit).run()
        after = await audience.preview(selection, rules, now_ms=FOUR_PM_MS)

        assert before == counts
        assert set(before.left_out) == set(Reason)  # each reason is there
        assert 0 < before.held < before.selected
        assert sorted(str(each.recipient.chat_id) for each in submitted) == sorted(
            str(each.chat_id) for each in expected
        )
        assert sum(each.recipient.not_before_ms is not None for each in submitted) == before.held
        notified = Reason.ALREADY_NOTIFIED
        assert (after.selected, after.left_out) == (
            0,
            before.left_out | {notified: before.left_out[notified] + before.selected},
        )


def reengagement(audience: SqlAudience, submit: Any) -> Reengagement:
    bot = RegisteredBot(
        bot_id=BOT,
        username="test_bot",
        first_name="Test",
        behaviours={"reengagement": SETTINGS},
        paused=False,
        weight=1,
        added_at_ms=0,
    )

    async def bots() -> list[RegisteredBot]:
        return [bot]

    clock = Clock(FOUR_PM_MS)
    return Reengagement(
        bots=cast("Any", SimpleNamespace(all=bots)),
        audience=audience,
        writer=Writer(None, texts=None, keep_ms=0, clock=clock),
        submit=submit,
        clock=clock,
    )


class TestPreviewOnSqlite(OnSqlite, PreviewContract):
    pass


class TestPreviewOnPostgres(OnPostgres, PreviewContract):
    pass
