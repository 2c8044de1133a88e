"""Everything of a chat is handed over, and deleted, and nothing of any other."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, LargeBinary, Table, insert, select, update

from tempogram.engine.model.batching import batches
from tempogram.engine.model.messages import Status
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import (
    PRESUMED,
    attachments,
    attempts,
    audit,
    broadcast_recipients,
    broadcasts,
    campaign_claims,
    chat_tags,
    chats,
    fsm_states,
    handles,
    holds,
    identity,
    messages,
    metadata,
    payloads,
    referrals,
    texts,
    updates,
    uploads,
    watch_members,
    watch_notices,
    watch_subscriptions,
)
from tempogram.storage.keys import Seal
from tempogram.storage.present_key import ROW, renew_erasure_key
from tempogram.storage.privacy.erasures import EMPTY, ROWS_MAX, WINDOWS_MS, SqlErasures
from tempogram.storage.privacy.export import ChatExport
from tempogram.storage.privacy.of_chats import BY_CHAT, BY_MESSAGE
from tempogram.storage.processes.identity import ledger_id
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite

ADA, EVE = "7", "8"
TEXT = "sp4rrow says hello"

SEAL = Seal("a key that no trial finds")

OF_NO_CHAT = {
    "alert_notices",
    "alert_sightings",
    "alerts",
    "api_sessions",
    "api_tokens",
    "audit",
    "bots",
    "broadcasts",
    "bulk_marks",
    "call_uses",
    "epochs",
    "file_ids",
    "identity",
    "last_handles",
    "limits",
    "login_links",
    "loop_beats",
    "services",
    "sweeps",
    "task_runs",
    "tasks",
    "totals",
    "upload_parts",
    "uploads",
    "users",
    "watch_items",
    "watch_observations",
    "watch_paces",
    "watch_plans",
}
"""The audit is exported and stays, with ids only, as docs/data-protection.md says; files go with their last message."""

HANDLED_ELSEWHERE = {"messages", "updates", "broadcast_recipients", "erased_chats"}


def test_each_table_is_known_to_have_something_of_chats_or_nothing() -> None:
    of_chats = {table.name for table in (*BY_CHAT, *BY_MESSAGE)} | HANDLED_ELSEWHERE

    assert of_chats | OF_NO_CHAT == set(metadata.tables)
    assert of_chats & OF_NO_CHAT == set()


def usual(table: Table, **given: Any) -> dict[str, Any]:
    """Return a row of a table, with something in each column that needs it."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.name not in given and not column.nullable and column.server_default is None:
            row[column.name] = b"x" if isinstance(column.type, LargeBinary) else column.type.python_type()
    return row | given


def rows_of(chat: str, number: int, *, settled: bool = True) -> list[tuple[Table, dict[str, Any]]]:
    """Return rows of a chat in every table that has chats."""
    message = f"{number:024x}"
    times = {"submitted_at_ms": NOW_MS, "ready_at_ms": NOW_MS, "settled_at_ms": NOW_MS if settled else None}
    body = {"update_id": number, "message": {"chat": {"id": int(chat)}, "text": f"{TEXT} {chat}"}}
    of = {"bot_id": BOT, "chat_id": chat}
    kinds = {"direction": "out", "status": "sent" if settled else "queued", "guarantee": "at_least_once"}
    return [
        (chats, usual(chats, **of, title=f"{TEXT} {chat}")),
        (chat_tags, usual(chat_tags, **of, tag="vip")),
        (texts, usual(texts, **of, update_id=number, by_bot=False, text=f"{TEXT} {chat}")),
        (fsm_states, usual(fsm_states, bot_id=BOT, chat_id=int(chat), data=json.dumps({"name": TEXT}).encode())),
        (holds, usual(holds, **of)),
        (campaign_claims, usual(campaign_claims, **of, local_date="2026-01-01", campaign="spring")),
        (watch_subscriptions, usual(watch_subscriptions, **of, source="shop", key="a")),
        (watch_notices, usual(watch_notices, **of, source="shop", key="a")),
        (watch_members, usual(watch_members, **of, plan="paid")),
        (broadcast_recipients, usual(broadcast_recipients, broadcast_id=1, chat_id=chat, outcome="sent")),
        (messages, usual(messages, **of, id=message, method="sendMessage", priority="high", **kinds, **times)),
        (payloads, {"message_id": message, "params": json.dumps({"text": f"{TEXT} {chat}"}).encode()}),
        (attempts, usual(attempts, **of, id=number, message_id=message, counted_at_ms=NOW_MS, reason=TEXT)),
        (attachments, usual(attachments, message_id=message, name="photo", sha256="ab", file_name=f"{TEXT}.png")),
        (referrals, usual(referrals, message_id=message, target_id="other")),
        (handles, usual(handles, bot_id=BOT, number=-number, message_id=message, item=-1)),
        (updates, usual(updates, bot_id=BOT, update_id=number, body=json.dumps(body).encode(), status="handled",
                        handled_at_ms=NOW_MS)),
    ]  # fmt: skip


async def store(database: Database, rows: list[tuple[Table, dict[str, Any]]]) -> None:
    def write(connection: Connection) -> None:
        for table, row in rows:
            connection.execute(insert(table).values(row))

    await database.write_alone(write)


async def dump(database: Database) -> dict[str, list[Any]]:
    async with database.reading() as connection:
        return {
            name: [tuple(row) for row in await connection.execute(select(table))]
            for name, table in metadata.tables.items()
        }


class SqlErasuresContract:
    @pytest.fixture
    async def erasures(self, database: Database) -> SqlErasures:
        await ledger_id(database)
        of_broadcast = usual(broadcasts, id=1, bot_id=BOT, plan=b"{}", state="running", recipients=2, sent=2)
        await store(
            database,
            [
                (broadcasts, of_broadcast),
                (uploads, usual(uploads, sha256="ab")),
                *rows_of(ADA, 1),
                *rows_of(EVE, 2),
            ],
        )
        return SqlErasures(database, SEAL)

    async def test_an_erased_chat_is_found_in_no_table_and_another_one_is_whole(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        before = await dump(database)
        export = ChatExport(database)

        await erasures.begin(BOT, 7, now_ms=NOW_MS)
        erased = await erasures.erase(BOT, 7, now_ms=NOW_MS + WINDOWS_MS + 1)
        await erasures.finish(BOT, 7)

        after = await dump(database)
        kinds = {table.name for table, _ in rows_of(EVE, 2)}
        assert f"{TEXT} {ADA}" not in str(after)
        assert [row async for row in export.rows(BOT, 7)] == []
        assert {row["table"] async for row in export.rows(BOT, 8)} == kinds - {"referrals", "handles"}
        assert {name: len(before[name]) - len(after[name]) for name in kinds} == dict.fromkeys(kinds, 1) | {
            "updates": 0
        }
        assert dict(erased.rows) == {each.name: 1 for each in BY_CHAT} | dict.fromkeys(
            ("messages", "updates", "broadcast_recipients"), 1
        )
        assert erased.left == 0
        assert after["broadcasts"] == before["broadcasts"]

    async def test_everything_of_a_chat_is_handed_over_and_nothing_of_another(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        rows = [row async for row in ChatExport(database).rows(BOT, 7)]

        assert erasures is not None
        assert str(rows).count(f"{TEXT} {ADA}") == 5 - 1  # chats, texts, payloads, updates
        assert f"{TEXT} {EVE}" not in str(rows)
        assert next(row for row in rows if row["table"] == "payloads")["params"] == {"text": f"{TEXT} {ADA}"}
        assert next(row for row in rows if row["table"] == "updates")["body"]["message"]["chat"] == {"id": 7}

    async def test_every_row_of_an_export_can_be_written_as_json(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        """Its names were texts of SQLAlchemy, which msgspec refuses: an export ended at its first row."""
        await store(database, [(audit, usual(audit, id="a", target=f"bot_id={BOT} chat_id=7"))])

        rows = [msgspec.json.decode(msgspec.json.encode(row)) async for row in ChatExport(database).rows(BOT, 7)]

        assert erasures is not None
        assert {row["table"] for row in rows} == {table.name for table, _ in rows_of(ADA, 1)} - {
            "referrals",
            "handles",
        } | {"audit"}

    async def test_an_export_of_many_rows_has_each_once(self, database: Database, erasures: SqlErasures) -> None:
        many = [usual(chat_tags, bot_id=BOT, chat_id=ADA, tag=f"tag{number:04}") for number in range(450)]
        await database.write_alone(lambda connection: connection.execute(insert(chat_tags), many))

        rows = [row["tag"] async for row in ChatExport(database).rows(BOT, 7) if row["table"] == "chat_tags"]

        assert erasures is not None
        assert len(rows) == len(set(rows)) == 451

    async def test_calls_that_windows_are_rebuilt_from_stay_without_their_chat(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        await erasures.erase(BOT, 7, now_ms=NOW_MS + 1_000)

        async with database.reading() as connection:
            left = (await connection.execute(select(attempts).where(attempts.c.message_id == PRESUMED))).one()
        assert (left.bot_id, left.chat_id, left.reason, left.counted_at_ms) == (BOT, None, None, NOW_MS)

    async def test_the_number_of_an_update_stays_so_that_it_is_not_handled_again(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        await erasures.erase(BOT, 7, now_ms=NOW_MS)

        async with database.reading() as connection:
            bodies = {row.update_id: row.body for row in await connection.execute(select(updates))}
        assert bodies[1] == EMPTY
        assert json.loads(bodies[2])["update_id"] == 2

    async def test_what_is_not_over_is_left_and_erased_once_it_is(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        open_message = [each for each in rows_of(ADA, 3, settled=False) if each[0] in {messages, payloads}]
        received = {"body": b'{"update_id":4,"message":{"chat":{"id":7}}}', "status": "received"}
        waiting = usual(broadcasts, id=2, bot_id=BOT, plan=b"{}", state="running")
        await store(
            database,
            [
                *open_message,
                (updates, usual(updates, bot_id=BOT, update_id=4, **received)),
                (broadcasts, waiting),
                (broadcast_recipients, usual(broadcast_recipients, broadcast_id=2, chat_id=ADA)),
            ],
        )

        first = await erasures.erase(BOT, 7, now_ms=NOW_MS)
        await database.write_alone(_end_all)
        second = await erasures.erase(BOT, 7, now_ms=NOW_MS)

        assert (first.left, second.left) == (3, 0)
        assert [row async for row in ChatExport(database).rows(BOT, 7)] == []

    async def test_more_rows_than_go_in_one_commit_are_erased(self, database: Database, erasures: SqlErasures) -> None:
        rows = [usual(chat_tags, bot_id=BOT, chat_id=ADA, tag=f"tag{n}") for n in range(ROWS_MAX + 5)]
        await database.write_alone(lambda connection: connection.execute(insert(chat_tags), rows))

        erased = await erasures.erase(BOT, 7, now_ms=NOW_MS)

        assert erased.rows["chat_tags"] == ROWS_MAX + 6

    async def test_other_names_of_a_chat_are_erased_with_it(self, database: Database, erasures: SqlErasures) -> None:
        await store(
            database,
            [
                (chats, usual(chats, bot_id=BOT, chat_id="-5", alias_of=ADA)),
                (holds, usual(holds, bot_id=BOT, chat_id="-5")),
                (chats, usual(chats, bot_id=BOT, chat_id="business:shop:7")),
                (chats, usual(chats, bot_id=BOT, chat_id="business:shop:17")),
            ],
        )

        await erasures.erase(BOT, 7, now_ms=NOW_MS)

        async with database.reading() as connection:
            left = set((await connection.execute(select(chats.c.chat_id))).scalars())
            held = set((await connection.execute(select(holds.c.chat_id))).scalars())
        assert left == {EVE, "business:shop:17"}
        assert held == {EVE}

    async def test_a_chat_is_erased_under_its_present_id_when_a_name_of_it_is_given(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        await store(database, [(chats, usual(chats, bot_id=BOT, chat_id="@ada", alias_of=ADA))])

        names = await erasures.names(BOT, "@ada")
        erased = await erasures.erase(BOT, "@ada", now_ms=NOW_MS)

        assert names == [7, "@ada"]
        assert erased.rows["messages"] == erased.rows["texts"] == 1
        assert erased.rows["chats"] == 2

    async def test_more_updates_than_a_statement_takes_values_are_emptied(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        """A group of twelve messages a minute has 34,000 in two days, and a statement takes 32,766 values."""
        body = b'{"update_id":1,"message":{"chat":{"id":7}}}'
        handled = {"body": body, "status": "handled", "handled_at_ms": NOW_MS}
        rows = [usual(updates, bot_id=BOT, update_id=1_000 + number, **handled) for number in range(34_000)]
        for page in batches(rows, 5_000):
            await database.write_alone(lambda connection, page=page: connection.execute(insert(updates), page))  # type: ignore[misc]

        assert (await erasures.erase(BOT, 7, now_ms=NOW_MS)).rows["updates"] == 34_001

    async def test_an_export_has_the_entries_of_the_audit_log_that_name_the_chat(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        targets = (f"bot_id={BOT} chat_id=7", f"bot_id={BOT} chat_id=77")
        await store(database, [(audit, usual(audit, id=each, target=each)) for each in targets])

        rows = [row["id"] async for row in ChatExport(database).rows(BOT, 7) if row["table"] == "audit"]

        assert erasures is not None
        assert rows == [f"bot_id={BOT} chat_id=7"]

    async def test_a_digest_tells_erased_chats_and_not_which_they_are(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        before = erasures.digest(BOT, 7)
        await erasures.begin(BOT, 7, now_ms=NOW_MS)
        await erasures.begin(BOT, 7, now_ms=NOW_MS + 5)
        named = await erasures.pending(limit=10)
        await erasures.finish(BOT, 7)

        (row,) = (await dump(database))["erased_chats"]
        assert before is None
        assert named == [(BOT, 7, NOW_MS)]
        assert row[1:3] == (None, None)
        assert await erasures.digests() == {erasures.digest(BOT, 7)}
        assert await erasures.among([(BOT, 7), (BOT, 8), (BOT + 1, 7)]) == {(BOT, 7)}
        assert await erasures.erased_at_ms(BOT, 7) == NOW_MS

    async def test_another_process_knows_them_by_the_same_key(self, database: Database, erasures: SqlErasures) -> None:
        other = SqlErasures(database, SEAL)
        assert await other.digests() == set()
        await erasures.begin(BOT, 7, now_ms=NOW_MS)

        assert await other.among([(BOT, 7), (BOT, 8)]) == {(BOT, 7)}
        assert await other.lift(BOT, 7)
        assert not await erasures.lift(BOT, 7)
        assert await erasures.among([(BOT, 7)]) == set()

    async def test_erased_chats_are_known_after_a_change_of_the_secret_key(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        await erasures.begin(BOT, 7, now_ms=NOW_MS)
        present = Seal("the key of tomorrow here")

        key = await database.write_alone(lambda connection: renew_erasure_key(connection, present, SEAL))

        assert key == present.fingerprints[0]
        assert await SqlErasures(database, present).among([(BOT, 7)]) == {(BOT, 7)}
        assert await SqlErasures(database, SEAL).among([(BOT, 7)]) == set()

    async def test_a_key_that_cannot_be_decrypted_is_said_and_costs_no_start(
        self, database: Database, erasures: SqlErasures
    ) -> None:
        await erasures.begin(BOT, 7, now_ms=NOW_MS)
        damaged = update(identity).where(identity.c.id == ROW).values(sealed_erasure_key=b"damaged")
        await database.write_alone(lambda connection: connection.execute(damaged))

        assert len(await SqlErasures(database, SEAL).digests()) == 1
        assert await SqlErasures(database, SEAL).among([(BOT, 7)]) == set()


def _end_all(connection: Connection) -> None:
    ended = {"status": Status.SENT.value, "settled_at_ms": NOW_MS}
    connection.execute(update(messages).where(messages.c.settled_at_ms.is_(None)).values(ended))
    connection.execute(update(updates).values(status="handled", handled_at_ms=NOW_MS))
    connection.execute(update(broadcast_recipients).values(outcome="sent"))


class TestErasuresOnSqlite(OnSqlite, SqlErasuresContract):
    pass


class TestErasuresOnPostgres(OnPostgres, SqlErasuresContract):
    pass
