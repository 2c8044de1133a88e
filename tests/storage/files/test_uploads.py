from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tempogram.engine.model.broadcasts import BroadcastState, Content
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.ports.ledger import Fault
from tempogram.storage.broadcasts.broadcasts import SqlBroadcastStore
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import file_ids, upload_parts, uploads
from tempogram.storage.files import writes
from tempogram.storage.files.spool import PART_BYTES, FileTooLarge, Spool, Spooled
from tempogram.storage.files.uploads import Uploads
from tempogram.storage.files.writes import Attachment, MessageFiles
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.messages import MessageHistory
from tempogram.storage.retention import BROADCASTS_MS, Retention, RetentionPeriods
from tests.broadcasts import plan
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite, became, message

LARGE = bytes(range(256)) * (PART_BYTES // 256) * 2 + b"the end"
CARRYING = b'{"photo":"attach://file0"}'
FAR_MS = NOW_MS + 10**10
NEVER = Fault(code=400, reason="Bad Request")


async def chunks(content: bytes, size: int = 60_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def spooled(tmp_path: Path, content: bytes = b"bytes", file_name: str = "a.jpg") -> Spooled:
    return await Spool(tmp_path, 3 * PART_BYTES).take(file_name, chunks(content))


def attachment(file: Spooled, **changes: str | None) -> Attachment:
    usual = {"name": "photo", "kind": "photo", "file_name": file.file_name, "sha256": file.sha256}
    return Attachment(**usual | changes, size_bytes=file.size_bytes)  # type: ignore[arg-type]


class UploadsContract:
    @pytest.fixture
    def uploads(self, database: Database) -> Uploads:
        return Uploads(database)

    @pytest.fixture
    def ledger(self, database: Database) -> SqlLedger:
        return SqlLedger(database)

    @staticmethod
    async def keep(uploads: Uploads, sent: Outgoing, *files: Spooled) -> None:
        carried = [attachment(file, name=f"file{number}") for number, file in enumerate(files)]
        await uploads.keep(sent.id, BOT, carried, {file.sha256: file for file in files})
        for file in files:
            file.close()

    @staticmethod
    async def content(uploads: Uploads, file: Spooled) -> bytes:
        return b"".join([part async for part in uploads.parts(file.sha256)])

    @staticmethod
    async def rows(database: Database) -> tuple[int, int]:
        """Return how many files, and how many of their rows, are stored."""
        async with database.reading() as connection:
            counts = [
                await connection.execute(select(func.count()).select_from(each)) for each in (uploads, upload_parts)
            ]
            return counts[0].scalar_one(), counts[1].scalar_one()

    @staticmethod
    async def names(database: Database) -> list[str]:
        async with database.reading() as connection:
            return list((await connection.execute(select(file_ids.c.file_id))).scalars())

    async def test_a_file_is_read_back_as_it_was_in_rows_that_are_never_large(
        self, uploads: Uploads, tmp_path: Path
    ) -> None:
        sent = message(params=CARRYING)
        file = await spooled(tmp_path, LARGE, "large.bin")
        await self.keep(uploads, sent, file)

        parts = [part async for part in uploads.parts(file.sha256)]
        (kept,) = await uploads.of_message(sent.id, BOT)

        assert b"".join(parts) == LARGE
        assert [len(part) for part in parts] == [PART_BYTES, PART_BYTES, 7]
        assert file.sha256 == hashlib.sha256(LARGE).hexdigest()
        assert (kept.file_name, kept.size_bytes, kept.is_here, kept.file_id) == ("large.bin", len(LARGE), True, None)

    async def test_an_empty_file_is_stored(self, uploads: Uploads, tmp_path: Path) -> None:
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, await spooled(tmp_path, b""))

        (kept,) = await uploads.of_message(sent.id, BOT)

        assert kept.is_here

    async def test_the_same_bytes_of_many_messages_are_stored_once_and_deleted_with_the_last(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        sent = [message(params=CARRYING) for _ in range(3)]
        for each in sent:
            await self.keep(uploads, each, await spooled(tmp_path))
        await ledger.add(sent)

        kept = [await self.rows(database)]
        for each in sent:
            await ledger.record([became(each, Status.SENT)])
            kept.append(await self.rows(database))

        assert kept == [(1, 1), (1, 1), (1, 1), (0, 0)]

    @pytest.mark.parametrize("status", [Status.SENT, Status.EXPIRED, Status.UNCERTAIN])
    async def test_the_bytes_are_deleted_when_their_message_is_settled(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path, status: Status
    ) -> None:
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, await spooled(tmp_path))
        await ledger.add([sent])

        await ledger.record([became(sent, status)])

        assert await self.rows(database) == (0, 0)
        assert len(await uploads.of_message(sent.id, BOT)) == 1  # what it was is still known

    async def test_a_late_record_of_a_dead_message_leaves_its_bytes(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, await spooled(tmp_path))
        await ledger.add([sent])

        await ledger.record([became(sent, Status.DEAD, fault=NEVER)])
        await ledger.record([became(sent, Status.SENT)])

        assert await self.rows(database) == (1, 1)

    async def test_an_incomplete_file_is_deleted_with_its_message(
        self, uploads: Uploads, database: Database, tmp_path: Path
    ) -> None:
        sent = message(params=CARRYING)
        with await spooled(tmp_path, LARGE) as file:
            await database.write(writes.attach, [MessageFiles(sent.id, BOT, [attachment(file)])])
            await database.write(writes.put_parts, [(file.sha256, 0, next(file.parts()))])
        brought = await self.rows(database)

        await uploads.forget(sent.id)

        assert (brought, await self.rows(database)) == ((0, 1), (0, 0))

    async def test_a_waiting_or_dead_message_keeps_its_bytes_for_another_attempt(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        sent = message(params=CARRYING)
        file = await spooled(tmp_path)
        await self.keep(uploads, sent, file)
        await ledger.add([sent])

        await ledger.record([became(sent, Status.QUEUED, ready_at_ms=NOW_MS + 1)])
        await ledger.record([became(sent, Status.DEAD, fault=NEVER)])
        (replayed,) = await MessageHistory(database).replay([sent.id])

        assert replayed.id == sent.id
        assert await self.content(uploads, file) == b"bytes"

    async def test_the_bytes_are_deleted_with_a_message_that_is_purged_cancelled_or_not_admitted(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        purged, cancelled, discarded = sent = [message(params=CARRYING) for _ in range(3)]
        for number, each in enumerate(sent):
            await self.keep(uploads, each, await spooled(tmp_path, bytes([number])))
        await ledger.add(sent)
        await ledger.record([became(purged, Status.DEAD, fault=NEVER)])

        await MessageHistory(database).purge_dead()
        await ledger.cancel(cancelled.id, now_ms=NOW_MS)
        await ledger.discard([discarded.id])

        assert await self.rows(database) == (0, 0)

    async def test_the_attachments_of_a_message_are_deleted_with_it(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, await spooled(tmp_path))
        await ledger.add([sent])
        await ledger.record([became(sent, Status.SENT)])

        await Retention(
            database, keep=RetentionPeriods(messages_ms=0, dead_ms=0, texts_ms=0), clock=lambda: FAR_MS
        ).purge()

        assert await uploads.of_message(sent.id, BOT) == []

    async def test_a_file_id_is_deleted_with_the_last_message_that_has_the_file(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        sent, refused = message(params=CARRYING), message(params=CARRYING)
        with await spooled(tmp_path) as file:
            await uploads.keep(sent.id, BOT, [attachment(file)], {file.sha256: file})
        await ledger.add([sent])
        await uploads.remember_file_id(BOT, file.sha256, "photo", "AgAC")
        await ledger.record([became(sent, Status.SENT)])
        await uploads.keep(refused.id, BOT, [attachment(file)], {})

        await uploads.forget(refused.id)
        (known,) = await uploads.of_message(sent.id, BOT)
        await Retention(
            database, keep=RetentionPeriods(messages_ms=0, dead_ms=0, texts_ms=0), clock=lambda: FAR_MS
        ).purge()

        assert known.file_id == "AgAC"
        assert await self.names(database) == []

    async def test_a_file_id_that_no_message_has_is_deleted_at_the_next_start(
        self, uploads: Uploads, database: Database, tmp_path: Path
    ) -> None:
        lost = message(params=CARRYING)
        with await spooled(tmp_path) as file:
            await uploads.remember_file_id(BOT, file.sha256, "photo", "AgAC")
            await uploads.keep(lost.id, BOT, [attachment(file)], {})

        await uploads.purge_orphans(now_ms=FAR_MS)

        assert await self.names(database) == []

    async def test_the_bytes_of_an_interrupted_call_are_deleted_with_it(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, await spooled(tmp_path))
        await ledger.add([sent])
        await ledger.mark_sending([sent.id])

        await ledger.settle_interrupted(NOW_MS)

        assert await self.rows(database) == (0, 0)

    async def test_files_of_a_message_that_was_never_submitted_are_deleted_at_the_next_start(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        accepted, lost = message(params=CARRYING), message(params=CARRYING)
        await self.keep(uploads, accepted, await spooled(tmp_path, b"accepted"))
        await self.keep(uploads, lost, await spooled(tmp_path, b"lost"))
        await ledger.add([accepted])

        purged = await uploads.purge_orphans(now_ms=FAR_MS)

        assert purged == 1
        assert await self.rows(database) == (1, 1)
        assert await uploads.of_message(lost.id, BOT) == []

    async def test_a_start_spares_files_whose_message_or_broadcast_is_just_being_made(
        self, uploads: Uploads, database: Database, tmp_path: Path
    ) -> None:
        young, begun = message(params=CARRYING), message(params=CARRYING)
        await self.keep(uploads, young, await spooled(tmp_path, b"young"))
        with await spooled(tmp_path, LARGE) as file:
            await database.write(writes.attach, [MessageFiles(begun.id, BOT, [attachment(file)])])
            await database.write(writes.put_parts, [(file.sha256, 0, next(file.parts()))])
        before = await self.rows(database)

        purged = await uploads.purge_orphans(now_ms=NOW_MS)
        after = await self.rows(database)
        await uploads.purge_orphans(now_ms=NOW_MS + writes.YOUNG_MS + 60_000)

        assert (purged, after) == (0, before)
        assert await self.rows(database) == (0, 0)

    async def test_files_of_a_message_that_was_not_accepted_can_be_deleted(
        self, uploads: Uploads, database: Database, tmp_path: Path
    ) -> None:
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, await spooled(tmp_path))

        await uploads.forget(sent.id)

        assert await self.rows(database) == (0, 0)

    async def test_files_of_a_message_that_the_ledger_has_after_all_stay(
        self, uploads: Uploads, ledger: SqlLedger, database: Database, tmp_path: Path
    ) -> None:
        """A submission whose commit was not answered may have been stored."""
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, await spooled(tmp_path))
        await ledger.add([sent])

        await uploads.forget(sent.id)

        assert await self.rows(database) == (1, 1)
        assert len(await uploads.of_message(sent.id, BOT)) == 1

    async def test_a_file_that_telegram_knows_is_not_stored_again(
        self, uploads: Uploads, database: Database, tmp_path: Path
    ) -> None:
        file = await spooled(tmp_path)
        await uploads.remember_file_id(BOT, file.sha256, "photo", "AgAC-old")
        await uploads.remember_file_id(BOT, file.sha256, "photo", "AgAC")
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, file)

        (kept,) = await uploads.of_message(sent.id, BOT)

        assert (kept.file_id, kept.is_here) == ("AgAC", False)
        assert await self.rows(database) == (0, 0)

    @pytest.mark.parametrize(("bot_id", "kind"), [(BOT + 1, "photo"), (BOT, "document")])
    async def test_a_file_id_belongs_to_one_bot_and_one_kind(
        self, uploads: Uploads, tmp_path: Path, bot_id: int, kind: str
    ) -> None:
        file = await spooled(tmp_path)
        await uploads.remember_file_id(bot_id, file.sha256, kind, "AgAC")
        sent = message(params=CARRYING)
        await self.keep(uploads, sent, file)

        (kept,) = await uploads.of_message(sent.id, BOT)

        assert (kept.file_id, kept.is_here) == (None, True)

    async def test_a_wrong_file_id_is_deleted(self, uploads: Uploads, tmp_path: Path) -> None:
        file = await spooled(tmp_path)
        await uploads.remember_file_id(BOT, file.sha256, "photo", "AgAC")

        await uploads.forget_file_id(BOT, "AgAC")

        sent = message(params=CARRYING)
        await self.keep(uploads, sent, file)
        (kept,) = await uploads.of_message(sent.id, BOT)
        assert (kept.file_id, kept.is_here) == (None, True)

    async def test_the_files_of_a_broadcast_stay_until_long_after_its_end(
        self, uploads: Uploads, database: Database, tmp_path: Path
    ) -> None:
        store = SqlBroadcastStore(database)
        with await spooled(tmp_path) as file:
            await uploads.remember_file_id(BOT, file.sha256, "photo", "AgAC")
            await uploads.keep("m1", BOT, [attachment(file)], {file.sha256: file}, needs_bytes=True)
        content = Content(method="sendPhoto", params={"photo": "attach://m1/photo"}, media="m1")
        made = await store.create("news", plan(content=content), now_ms=NOW_MS)
        await uploads.forget("m1")
        await store.change(made.id, BroadcastState.CANCELLED, when=(BroadcastState.DRAFT,), now_ms=NOW_MS)

        assert await uploads.purge_orphans(now_ms=FAR_MS) == 0
        assert [(each.file_id, each.is_here) for each in await uploads.of_message("m1", BOT)] == [("AgAC", True)]
        for later_ms, left in ((0, 1), (1, 0)):
            now_ms = NOW_MS + BROADCASTS_MS + later_ms
            keep = RetentionPeriods(messages_ms=None, dead_ms=None, texts_ms=0)
            await Retention(database, keep=keep, clock=lambda: now_ms).purge()  # noqa: B023 - called at once
            assert len(await uploads.of_message("m1", BOT)) == left
        assert (await self.rows(database), await self.names(database)) == ((0, 0), [])

    async def test_telegram_knows_the_files_of_a_broadcast_once_its_bot_has_an_id_of_each(
        self, uploads: Uploads, tmp_path: Path
    ) -> None:
        with await spooled(tmp_path) as cat, await spooled(tmp_path, b"another") as dog:
            carried = [attachment(cat), attachment(dog, name="dog"), attachment(dog, name="thumbnail", kind=None)]
            await uploads.keep("m1", BOT, carried, {cat.sha256: cat, dog.sha256: dog}, needs_bytes=True)

        known = []
        for bot_id, file in ((BOT, cat), (BOT + 1, dog), (BOT, dog)):
            await uploads.remember_file_id(bot_id, file.sha256, "photo", file.sha256)
            known.append(await uploads.are_known("m1", BOT))
        assert known == [False, False, True]
        assert await uploads.are_known("m2", BOT) is None


class TestUploadsOnSqlite(OnSqlite, UploadsContract):
    pass


class TestUploadsOnPostgres(OnPostgres, UploadsContract):
    pass


async def test_a_file_that_turns_out_to_be_too_large_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileTooLarge, match=r"'a.bin' is too large to upload: Telegram accepts 10 bytes .* a file_id"):
        await Spool(tmp_path, 10).take("a.bin", chunks(b"x" * 11))

    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a coroutine asks no path


async def test_a_file_declared_too_large_is_not_read(tmp_path: Path) -> None:
    reading = chunks(b"x" * 11)

    with pytest.raises(FileTooLarge, match="it has 11 bytes"):
        await Spool(tmp_path, 10).take("a.bin", reading, size_bytes=11)

    assert await anext(reading) == b"x" * 11
