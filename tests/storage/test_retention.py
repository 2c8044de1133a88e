"""Old rows are deleted in small commits; open messages stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, func, select, text

from tempogram.engine.model.ids import Ids, earliest
from tempogram.engine.model.messages import Hold, Outgoing, PastSend, Status
from tempogram.engine.model.selection import Recipient, Rules
from tempogram.engine.model.watches import SHIPPED_PLANS, Check, Item, Subscriber, WatchRules
from tempogram.engine.ports.alert_store import Finding, Mark
from tempogram.engine.ports.ledger import Accepted, Fault
from tempogram.storage.alerts.alerts import SqlAlertStore
from tempogram.storage.chats import ChatActivity, Chats
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import attempts, holds, messages, payloads, texts, updates
from tempogram.storage.files.writes import file_ids_without_message
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.messages import Incoming, MessageHistory
from tempogram.storage.retention import (
    ALERTS_MS,
    CLAIMS_MS,
    HOUR_MS,
    MESSAGES_MAX,
    OBSERVATIONS_MS,
    PAUSE_S,
    PRESUMED_MS,
    ROWS_MAX,
    UPDATES_MS,
    Retention,
    RetentionPeriods,
    message_page,
    old_messages,
    purges,
)
from tempogram.storage.selection.audience import SqlAudience
from tempogram.storage.texts import ChatText, Texts
from tempogram.storage.updates import ReceivedUpdate, Updates
from tempogram.storage.watches.watches import SqlWatchStore
from tests.engine.alerts.values import alert, row
from tests.fakes import Clock
from tests.storage.backends import BOT, CHAT, NOW_MS, OnPostgres, OnSqlite, became, message

DAY_MS = 86_400_000
KEEP = RetentionPeriods(messages_ms=30 * DAY_MS, dead_ms=90 * DAY_MS, texts_ms=DAY_MS)
NEVER = Fault(code=400, reason="Bad Request: chat not found")


class RetentionContract:
    @pytest.fixture
    def ledger(self, database: Database) -> SqlLedger:
        return SqlLedger(database)

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock(NOW_MS + 60_000)

    @pytest.fixture
    def pauses(self) -> list[float]:
        return []

    @pytest.fixture
    def retention(self, database: Database, clock: Clock, pauses: list[float]) -> Retention:
        async def sleep(seconds: float) -> None:
            pauses.append(seconds)

        return Retention(database, keep=KEEP, clock=clock, sleep=sleep)

    @staticmethod
    async def rows(database: Database) -> dict[str, int]:
        async with database.reading() as connection:
            return {
                table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                for table in (messages, payloads, attempts, updates, holds, texts)
            }

    @staticmethod
    async def keep(ledger: SqlLedger, *statuses: Status) -> list[Outgoing]:
        kept = [message(dedup_key=f"order {number}") for number, _ in enumerate(statuses)]
        await ledger.add(kept)
        await ledger.record(
            [
                became(each, status, fault=NEVER if status is Status.DEAD else None)
                for each, status in zip(kept, statuses, strict=True)
            ]
        )
        return kept

    async def test_an_ended_message_is_deleted_with_its_attempts_and_its_dedup_key(
        self, retention: Retention, ledger: SqlLedger, database: Database, clock: Clock
    ) -> None:
        await self.keep(ledger, Status.SENT, Status.CANCELLED, Status.EXPIRED, Status.UNCERTAIN)

        clock.advance(29 * DAY_MS)
        too_early = await retention.purge()
        clock.advance(DAY_MS)
        removed = await retention.purge()

        assert (too_early["messages"], removed["messages"]) == (0, 4)
        assert set((await self.rows(database)).values()) == {0}
        assert await ledger.add([message(dedup_key="order 0")]) == [Accepted()]

    async def test_an_ended_message_is_deleted_though_its_id_is_ahead_of_the_clock(
        self, retention: Retention, ledger: SqlLedger, clock: Clock
    ) -> None:
        """Ids go on after the highest one, also when the clock of one run was ahead."""
        ids = Ids(earliest(NOW_MS + 1_000 * DAY_MS))
        ended = message(id=ids.new(NOW_MS))
        await ledger.add([ended, message(id=ids.new(NOW_MS))])
        await ledger.record([became(ended, Status.SENT)])

        clock.advance(29 * DAY_MS)
        too_early = await retention.purge()
        clock.advance(DAY_MS)
        removed = await retention.purge()

        assert (too_early["messages"], removed["messages"]) == (0, 1)

    async def test_dead_letters_are_kept_longer(
        self, retention: Retention, ledger: SqlLedger, database: Database, clock: Clock
    ) -> None:
        await self.keep(ledger, Status.DEAD, Status.SENT)

        clock.advance(89 * DAY_MS)
        await retention.purge()
        assert await MessageHistory(database).dead_count() == 1
        clock.advance(DAY_MS)
        await retention.purge()

        assert set((await self.rows(database)).values()) == {0}

    async def test_open_messages_stay_however_old(self, retention: Retention, ledger: SqlLedger, clock: Clock) -> None:
        [waiting] = await self.keep(ledger, Status.QUEUED)

        clock.advance(1_000 * DAY_MS)
        await retention.purge()

        [back] = await ledger.open_messages(after_id="", limit=9)
        assert back.id == waiting.id

    async def test_a_dead_letter_that_was_replayed_meanwhile_stays(
        self, retention: Retention, ledger: SqlLedger, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [given_up] = await self.keep(ledger, Status.DEAD)
        read = retention._page

        async def page(selection: object) -> object:
            found = await read(selection)  # type: ignore[arg-type]
            await MessageHistory(database).replay([given_up.id])
            return found

        monkeypatch.setattr(retention, "_page", page)
        clock.advance(1_000 * DAY_MS)
        await retention.purge()

        [back] = await ledger.open_messages(after_id="", limit=9)
        assert back.id == given_up.id

    async def test_incoming_messages_are_deleted_like_outgoing_ones(
        self, retention: Retention, database: Database, clock: Clock
    ) -> None:
        history = MessageHistory(database)
        await history.note_incoming(
            Incoming(
                id=message().id, bot_id=BOT, chat_id=CHAT, update_id=5, telegram_message_id=8, received_at_ms=NOW_MS
            )
        )

        clock.advance(30 * DAY_MS)
        await retention.purge()

        assert await history.of_chat(BOT, CHAT, before_id=None, limit=9) == []

    async def test_handled_updates_are_kept_as_long_as_telegram_repeats_them_and_unhandled_ones_for_ever(
        self, retention: Retention, database: Database, clock: Clock
    ) -> None:
        inbox = Updates(database, process=1)
        unhandled = ReceivedUpdate(bot_id=BOT, update_id=3, body=b"{}", received_at_ms=NOW_MS)
        await inbox.receive_many([replace(unhandled, update_id=number) for number in (1, 2, 3)])
        await inbox.mark_handled([(BOT, 1)], now_ms=clock())
        await inbox.mark_failed(BOT, 2, reason="ValueError", now_ms=clock())

        clock.advance(UPDATES_MS)
        assert (await retention.purge())["updates"] == 0
        clock.advance(1)

        assert (await retention.purge())["updates"] == 2
        assert await Updates(database, process=2).adopt(limit=9) == [unhandled]

    async def test_holds_that_are_over_and_old_texts_are_deleted(
        self, retention: Retention, ledger: SqlLedger, database: Database, clock: Clock
    ) -> None:
        standing = Hold(BOT, None, clock() + 2 * DAY_MS)
        await ledger.record_holds([Hold(BOT, CHAT, clock() + 1), standing], now_ms=clock())
        said = ChatText(
            bot_id=BOT, update_id=1, by_bot=False, chat_id=CHAT, speaker="", text="hello", said_at_ms=clock()
        )
        await Texts(database, keep_ms=DAY_MS).note(said)

        clock.advance(DAY_MS + 1)
        await retention.purge()

        assert await ledger.holds(0) == [standing]
        assert (await self.rows(database))["texts"] == 0

    async def test_alerts_that_ended_long_ago_are_deleted_with_their_notices(
        self, retention: Retention, database: Database, clock: Clock
    ) -> None:
        store, long_ago_ms = SqlAlertStore(database), clock() - ALERTS_MS - 1
        await store.open([alert("a"), alert("b"), alert("c")])
        await store.say(Mark.SAID, await store.unfinished(), clock(), [row("1"), row("2"), row("3")])
        await store.end(["a"], long_ago_ms)
        await store.end(["b"], clock())
        for notice_id, at_ms in (("1", long_ago_ms), ("2", clock())):
            await store.finish(row(notice_id), at_ms, is_accepted=True)
        await store.sight("old", [Finding("redis_away", "", "")], clock() - HOUR_MS - 1)
        await store.sight("new", [Finding("redis_full", "", "")], clock())

        removed = await retention.purge()

        assert {name: removed[name] for name in removed if name.startswith("alert")} == {
            "alerts": 1,
            "alert_notices": 1,
            "alert_sightings": 1,
        }

    async def test_claims_are_deleted_a_week_after_their_date(
        self, retention: Retention, database: Database, clock: Clock
    ) -> None:
        await Chats(database).note_activity(ChatActivity(bot_id=BOT, chat_id=CHAT, at_ms=clock()))
        day = Recipient(chat_id=CHAT, zone="UTC", local_date="", not_before_ms=None, day_ends_ms=clock() + 1)
        await SqlAudience(database).claim([day], Rules(campaign="weekly"), bot_id=BOT, now_ms=clock())

        clock.advance(CLAIMS_MS + 1)
        assert (await retention.purge())["campaign_claims"] == 0
        clock.advance(1)

        assert (await retention.purge())["campaign_claims"] == 1

    async def test_old_observations_are_deleted_and_items_that_no_chat_watches(
        self, retention: Retention, database: Database, clock: Clock
    ) -> None:
        store, to, rules = SqlWatchStore(database), Subscriber(BOT, CHAT), WatchRules()
        await store.ship_plans(SHIPPED_PLANS)
        for key in ("watched", "left"):
            await store.subscribe(to, Item("prices", key), rules, now_ms=clock())
            known = await store.item(Item("prices", key))
            assert known is not None
            await store.note(Check(of=known, at_ms=clock(), fields={"price": 1}), debounce_ms=0)
        await store.unsubscribe(to, Item("prices", "left"))

        clock.advance(OBSERVATIONS_MS + 1)
        removed = await retention.purge()

        assert {name: removed[name] for name in removed if name.startswith("watch")} == {
            "watch_observations": 2,
            "watch_notices": 0,
            "watch_items": 1,
        }
        watched = await store.item(Item("prices", "watched"))
        assert watched is not None
        assert watched.fields == {"price": 1}

    async def test_presumed_calls_are_deleted_after_the_longest_window(
        self, retention: Retention, ledger: SqlLedger, clock: Clock
    ) -> None:
        await ledger.presume([PastSend(BOT, CHAT, clock(), 1)])

        clock.advance(PRESUMED_MS)
        assert (await retention.purge())["presumed"] == 0
        clock.advance(1)

        assert (await retention.purge())["presumed"] == 1

    async def test_no_commit_is_large_and_between_two_there_is_a_pause(
        self, retention: Retention, ledger: SqlLedger, database: Database, clock: Clock, pauses: list[float]
    ) -> None:
        await self.keep(ledger, *[Status.SENT] * (2 * MESSAGES_MAX + 1))
        handled = range(ROWS_MAX + 1)
        inbox = Updates(database, process=1)
        await inbox.receive_many(
            [ReceivedUpdate(bot_id=BOT, update_id=each, body=b"{}", received_at_ms=NOW_MS) for each in handled]
        )
        await inbox.mark_handled([(BOT, each) for each in handled], now_ms=NOW_MS)

        clock.advance(30 * DAY_MS)
        removed = await retention.purge()

        assert (removed["messages"], removed["updates"]) == (2 * MESSAGES_MAX + 1, ROWS_MAX + 1)
        assert pauses == [PAUSE_S] * 5  # three pages of messages, two of updates

    async def test_retention_reads_no_table_from_end_to_end(self, database: Database) -> None:
        page = message_page("", "018", old_messages(NOW_MS, NOW_MS))

        async with database.reading() as connection:
            plans = [
                await connection.run_sync(plan_of, str(each.compile(connection.sync_engine, compile_kwargs=LITERALLY)))
                for each in (page, file_ids_without_message(["a"]), *purges(NOW_MS, texts_ms=1).values())
            ]

        assert [plan for plan in plans if "Seq Scan" in plan or "SCAN " in plan] == []

    async def test_retention_without_a_period_deletes_nothing(
        self, database: Database, ledger: SqlLedger, clock: Clock
    ) -> None:
        await self.keep(ledger, Status.SENT, Status.DEAD)
        retention = Retention(database, keep=RetentionPeriods(messages_ms=None, dead_ms=None, texts_ms=0), clock=clock)

        clock.advance(10_000 * DAY_MS)

        assert (await retention.purge())["messages"] == 0


LITERALLY = {"literal_binds": True}


def plan_of(connection: Connection, statement: str) -> str:
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))
        return "\n".join(row.detail for row in rows)
    connection.execute(text("SET enable_seqscan = off"))  # these tables are empty: reading them would be best
    plan = connection.execute(text(f"EXPLAIN {statement}")).scalars().all()
    connection.execute(text("RESET enable_seqscan"))
    return "\n".join(plan)


class TestRetentionOnSqlite(OnSqlite, RetentionContract):
    pass


class TestRetentionOnPostgres(OnPostgres, RetentionContract):
    pass
