"""Each index is there for a query of ours, and both databases use it for that one.

``docs/operations.md`` has a row for each.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import pytest
from sqlalchemy import Connection, text, true, update

from bench.selection.rows import BOT, Size, make_accounts, make_messages
from tempogram.engine.model.broadcasts import Broadcast
from tempogram.engine.model.selection import Rules, Selection
from tempogram.engine.model.watches import Preset, WatchRules
from tempogram.storage.alerts.alerts import SqlAlertStore
from tempogram.storage.alerts.readings import SqlAlertReadings
from tempogram.storage.audit import SqlAudit
from tempogram.storage.broadcasts.broadcasts import SqlBroadcastStore
from tempogram.storage.chats import Chats
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import broadcasts, metadata
from tempogram.storage.files.uploads import Uploads
from tempogram.storage.files.writes import Attachment, MessageFiles, attach
from tempogram.storage.handles import SqlHandles
from tempogram.storage.identity.links import LoginLinks
from tempogram.storage.identity.secrets import Credential, Digests, Kind
from tempogram.storage.identity.sessions import ApiSessions
from tempogram.storage.identity.tokens import ApiTokens
from tempogram.storage.identity.users import Users
from tempogram.storage.keys import Seal
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.messages import MessageHistory
from tempogram.storage.privacy.erasures import SqlErasures
from tempogram.storage.retention import Retention, RetentionPeriods
from tempogram.storage.scheduler.tasks import SqlTaskStore
from tempogram.storage.selection.audience import SqlAudience
from tempogram.storage.services.uses import SqlCallUses
from tempogram.storage.texts import Texts
from tempogram.storage.updates import Updates
from tempogram.storage.watches.watches import SqlWatchStore
from tests import ROOT
from tests.broadcasts import plan
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite, message
from tests.storage.statements import noted, plan_of

SIZE = Size(accounts=500, messages=20_000, now_ms=NOW_MS)
FILLED = {"messages", "attempts", "chats"}
"""Tables with so many rows that PostgreSQL reads none as a whole without a need."""

INDEXES = {str(index.name): table.name for table in metadata.tables.values() for index in table.indexes}

PLANNED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")

Ask = Callable[[Database], Awaitable[Any]]


def periods() -> RetentionPeriods:
    return RetentionPeriods(messages_ms=None, dead_ms=None, texts_ms=1)


async def purge(database: Database) -> None:
    await Retention(database, keep=periods(), clock=lambda: NOW_MS).purge()


async def forget_a_file(database: Database) -> None:
    file = Attachment(name="photo", kind="photo", file_name="cat.jpg", sha256="ab", size_bytes=1)
    await database.write(attach, [MessageFiles("a", BOT, [file])])
    await Uploads(database).forget("a")


FOR_UNIQUENESS = {"alerts_open", "campaign_claims_slots"}
"""They keep a second row out, and no query needs them."""

DIGESTS = Digests("a key that no trial finds")
SEAL = Seal("a key that no trial finds")

RULES = Rules(campaign="spring")
BROADCAST = Broadcast(id=1, name="spring", plan=plan())


async def set_back(database: Database) -> int:
    store = SqlBroadcastStore(database)
    made = await store.create("spring", plan(), now_ms=NOW_MS)
    await database.write_alone(
        lambda connection: connection.execute(update(broadcasts).values(is_retrying=true())) and 0
    )
    return await store.set_back(made)


ASKED: dict[str, Ask] = {
    "messages_once_in": lambda database: SqlLedger(database).known([message(dedup_key="order-7")]),
    "messages_open": lambda database: SqlLedger(database).open_messages(after_id="", limit=9),
    "messages_parked": lambda database: SqlHandles(database).releasable(limit=9),
    "messages_open_with_tag": lambda database: SqlLedger(database).open_ids(after_id="", limit=9, tag="spring"),
    "messages_dead": lambda database: MessageHistory(database).dead(after_id="", limit=9),
    "messages_dead_by_time": lambda database: SqlAlertReadings(database).look(
        NOW_MS, tasks_now_ms=NOW_MS, hold_over_ms=1, dead_since_ms=NOW_MS, dead_up_to=9
    ),
    "messages_of_chat": lambda database: MessageHistory(database).of_chat(BOT, 1_000_007, before_id=None, limit=9),
    "ix_messages_chat_telegram_msg": lambda database: MessageHistory(database).of_number(-1_001, 7),
    "ix_messages_reply_lookup": lambda database: MessageHistory(database).of_number(-1_001, 7, bot_id=BOT),
    "ix_messages_incoming": lambda database: MessageHistory(database).incoming(
        BOT, since_ms=NOW_MS - 60_000, until_ms=NOW_MS, after=None, limit=9
    ),
    "attempts_of_message": lambda database: MessageHistory(database).message(first_id()),
    "attempts_counted": lambda database: SqlLedger(database).sends_since(NOW_MS - 60_000, now_ms=NOW_MS),
    "attempts_paid": lambda database: SqlLedger(database).spent_since(NOW_MS - 60_000),
    "handles_of_message": lambda database: SqlHandles(database).handed_out("a"),
    "referrals_of_target": lambda database: SqlHandles(database).referrals(["a"]),
    "updates_received": lambda database: Updates(database, process=1).adopt(limit=9),
    "updates_handled": purge,
    "holds_until": purge,
    "chats_by_alias": lambda database: SqlLedger(database).open_of_chat(BOT, -1_001, after_id="", limit=9),
    "chats_by_activity": lambda database: SqlAudience(database).preview(
        Selection(bot_id=BOT, wrote_days_ago=7), RULES, now_ms=NOW_MS
    ),
    "chat_tags_of_chat": lambda database: Chats(database).get(BOT, 1_000_007),
    "campaign_claims_unsubmitted": lambda database: SqlAudience(database).unsubmitted(
        Selection(bot_id=BOT), RULES, now_ms=NOW_MS
    ),
    "campaign_claims_by_end": purge,
    "broadcasts_active": lambda database: SqlBroadcastStore(database).active(),
    "broadcasts_ended": purge,
    "broadcasts_media": forget_a_file,
    "broadcast_recipients_waiting": lambda database: SqlBroadcastStore(database).due(BROADCAST, now_ms=NOW_MS, limit=9),
    "broadcast_recipients_under_way": lambda database: SqlBroadcastStore(database).settle(BROADCAST),
    "broadcast_recipients_failed": set_back,
    "watch_items_attempted": lambda database: SqlWatchStore(database).due(
        WatchRules(preset=Preset.PRIORITY), "prices", now_ms=NOW_MS, limit=9
    ),
    "watch_items_checked": purge,
    "watch_items_failing": lambda database: SqlWatchStore(database).counts(WatchRules(), ["prices"], now_ms=NOW_MS),
    "watch_subscriptions_of_item": lambda database: SqlWatchStore(database).due(
        WatchRules(), "prices", now_ms=NOW_MS, limit=9
    ),
    "watch_observations_by_time": purge,
    "watch_notices_by_time": purge,
    "watch_notices_due": lambda database: SqlWatchStore(database).waiting(now_ms=NOW_MS),
    "watch_notices_digests": lambda database: SqlWatchStore(database).digests(),
    "texts_of_chat": lambda database: Texts(database, keep_ms=1).recent(BOT, 7, since_ms=0, limit=9),
    "texts_said": purge,
    "attachments_of_file": forget_a_file,
    "file_ids_of_file": forget_a_file,
    "call_uses_by_limiter": lambda database: SqlCallUses(database).since("shop", NOW_MS),
    "call_uses_by_time": purge,
    "tasks_changed": lambda database: SqlTaskStore(database).changed_within(9),
    "tasks_run_by": lambda database: SqlTaskStore(database).keep("a", NOW_MS),
    "alerts_ended": purge,
    "audit_who": lambda database: SqlAudit(database, clock=lambda: NOW_MS).page(before_id=None, limit=9, who="admin"),
    "audit_target": lambda database: SqlAudit(database, clock=lambda: NOW_MS).page(
        before_id=None, limit=9, target="bot_id=7"
    ),
    "alert_notices_waiting": lambda database: SqlAlertStore(database).waiting(["slack"], NOW_MS, limit=9),
    "alert_notices_ended": purge,
    "alert_sightings_at": lambda database: SqlAlertStore(database).sighted(NOW_MS),
    "users_named": lambda database: Users(database).named("ada"),
    "api_tokens_of_user": lambda database: ApiTokens(database, DIGESTS).all(user_id="a"),
    "login_links_of_user": lambda database: LoginLinks(database, DIGESTS).add("a", now_ms=NOW_MS),
    "login_links_expire": purge,
    "ix_sessions_token_active_expires": lambda database: ApiSessions(database, DIGESTS).of_cookie(
        Credential.new(Kind.SESSION).text, now_ms=NOW_MS
    ),
    "ix_sessions_expires_active": purge,
    "api_sessions_of_user": lambda database: ApiSessions(database, DIGESTS).of_user("a", now_ms=NOW_MS),
    "fsm_states_cleared": purge,
    "erased_chats_pending": lambda database: SqlErasures(database, SEAL).pending(limit=9),
}


def first_id() -> str:
    return f"{SIZE.submitted_at_ms(1):012x}{1:06x}00000001"


def fill(connection: Connection) -> None:
    make_accounts(connection, SIZE)
    make_messages(connection, SIZE, 1, SIZE.messages)
    connection.execute(
        text(
            "INSERT INTO attempts (message_id, bot_id, chat_id, cost, attempt, outcome, counted_at_ms, recorded_at_ms)"
            " SELECT id, bot_id, chat_id, 1, 1, 'sent', settled_at_ms, settled_at_ms FROM messages"
        )
    )
    connection.execute(
        text(
            "UPDATE messages SET status = 'queued', settled_at_ms = NULL, telegram_message_id = NULL, tag = 'n' || id"
            " WHERE direction = 'out' AND telegram_message_id > 39"
        )
    )
    if connection.dialect.name == "postgresql":
        connection.execute(text("ANALYZE messages, attempts, chats"))


async def plans(database: Database, ask: Ask, *, may_scan: bool) -> list[str]:
    with noted() as statements:
        await ask(database)
    return [await plan_of(database, each, may_scan=may_scan) for each in statements if PLANNED.match(each.text)]


class IndexesContract:
    async def test_each_index_is_used_by_a_query_of_ours(self, database: Database) -> None:
        await database.write_alone(fill)

        unused = {}
        for name, ask in ASKED.items():
            found = await plans(database, ask, may_scan=INDEXES[name] in FILLED)
            if not any(re.search(rf"\b{name}\b", plan) for plan in found):
                unused[name] = found

        assert unused == {}


class TestIndexesOnSqlite(OnSqlite, IndexesContract):
    pass


class TestIndexesOnPostgres(OnPostgres, IndexesContract):
    @pytest.fixture
    def url(self, fresh_postgres: str) -> str:
        """A database of its own: what autovacuum learns of the rows of other tests changes which index is used."""
        return fresh_postgres


def documented(page: str) -> Collection[str]:
    return re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)


def test_each_index_is_asked_for_here_and_has_a_row_in_the_documentation() -> None:
    page = (ROOT / "docs" / "operations.md").read_text().partition("## Indexes")[2].partition("\n## ")[0]

    assert set(ASKED) | FOR_UNIQUENESS == set(INDEXES)
    assert sorted(documented(page)) == sorted(INDEXES)
