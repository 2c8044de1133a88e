from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import PausedBy
from tempogram.storage.bots import Bots, ChosenBy, Removal, Source, StoredWebhook
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots as table
from tempogram.storage.database.models import file_ids
from tempogram.storage.files.uploads import Uploads
from tempogram.storage.keys import Seal
from tempogram.storage.ledger.ledger import SqlLedger
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite

KEY = "the key of these tests only"
ECHO: dict[str, dict[str, object]] = {"echo": {}}
TOKEN = "42:AAAA-this-must-never-be-seen"


async def add(bots: Bots, token: str = TOKEN, *, username: str = "a_bot") -> None:
    await bots.add(BOT, token, username=username, first_name="A Bot", behaviours=ECHO, now_ms=NOW_MS)


def bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


class BotsContract:
    @pytest.fixture
    def bots(self, database: Database) -> Bots:
        return Bots(database, Seal(KEY))

    async def test_a_bot_is_returned_without_its_token(self, bots: Bots) -> None:
        await add(bots)

        bot = await bots.get(BOT)

        assert bot is not None
        assert (bot.username, bot.behaviours, bot.paused, bot.weight) == ("a_bot", ECHO, False, 1)
        assert TOKEN not in repr(bot)
        assert await bots.tokens() == {BOT: TOKEN}

    async def test_adding_a_bot_again_replaces_its_token_and_keeps_its_behaviours(self, bots: Bots) -> None:
        await add(bots)
        await bots.set_behaviours(BOT, {"quiz": {"rounds": 3}})

        await add(bots, "42:BBBB", username="")

        [bot] = await bots.all()
        assert (bot.username, bot.behaviours) == ("a_bot", {"quiz": {"rounds": 3}})
        assert await bots.tokens() == {BOT: "42:BBBB"}

    async def test_a_bot_that_a_program_brought_gets_behaviours_when_it_is_added(self, bots: Bots) -> None:
        await bots.add(BOT, TOKEN, username="", first_name="", behaviours={}, chosen_by=ChosenBy.PROGRAM, now_ms=NOW_MS)

        await add(bots)

        [bot] = await bots.all()
        assert (bot.behaviours, bot.chosen_by) == (ECHO, ChosenBy.OWNER)

    async def test_bots_of_an_earlier_version_get_the_modules_once(self, bots: Bots) -> None:
        await add(bots)
        await bots.set_behaviours(BOT, ECHO, chosen_by=ChosenBy.EARLIER)

        kept = [await bots.keep_modules({"shop": {}}), await bots.keep_modules({"desk": {}})]

        [bot] = await bots.all()
        assert (kept, bot.behaviours, bot.chosen_by) == ([1, 0], {"shop": {}} | ECHO, ChosenBy.OWNER)

    async def test_a_bot_of_an_earlier_version_that_a_program_brought_gets_none(self, bots: Bots) -> None:
        await bots.add(BOT, TOKEN, username="", first_name="", behaviours={}, chosen_by=ChosenBy.EARLIER, now_ms=NOW_MS)

        await bots.keep_modules({"shop": {}})

        [bot] = await bots.all()
        assert (bot.behaviours, bot.chosen_by) == ({}, ChosenBy.PROGRAM)

    async def test_the_defaults_of_a_bot_are_replaced_and_end_with_it(self, bots: Bots) -> None:
        await add(bots)
        await bots.set_defaults(BOT, {"parse_mode": "HTML"})
        before = await bots.get(BOT)
        await bots.remove(BOT, keep_messages=False)
        await add(bots)

        after = await bots.get(BOT)

        assert [each and each.defaults for each in (before, after)] == [{"parse_mode": "HTML"}, {}]

    async def test_a_bot_that_was_paused_before_it_was_added_is_still_paused(
        self, bots: Bots, database: Database
    ) -> None:
        await SqlLedger(database).pause(BOT, paused=True)
        assert await bots.all() == []

        await add(bots)

        [bot] = await bots.all()
        assert (bot.paused, bot.behaviours, bot.added_at_ms) == (True, ECHO, NOW_MS)

    async def test_a_paused_bot_has_its_reason(self, bots: Bots, database: Database) -> None:
        await add(bots)
        ledger, reasons = SqlLedger(database), []
        for paused, by in ((True, PausedBy.TOKEN), (True, PausedBy.OPERATOR), (False, PausedBy.OPERATOR)):
            await ledger.pause(BOT, paused=paused, by=by)
            reasons += [each.paused_by for each in await bots.all()]

        assert reasons == [PausedBy.TOKEN, PausedBy.OPERATOR, None]

    async def test_the_ledger_returns_the_weights_that_are_not_1(self, bots: Bots, database: Database) -> None:
        await add(bots)
        assert await SqlLedger(database).weights() == {}

        await bots.set_weight(BOT, 3)

        assert await SqlLedger(database).weights() == {BOT: 3}

    async def test_a_weight_below_1_is_refused(self, bots: Bots) -> None:
        await add(bots)

        with pytest.raises(LedgerError, match="weight_is_at_least_1"):
            await bots.set_weight(BOT, 0)

    async def test_a_new_webhook_secret_is_stored_beside_the_old_one_until_it_replaces_it(self, bots: Bots) -> None:
        await add(bots)

        await bots.set_webhook_secret(BOT, "knock")
        await bots.set_next_webhook_secret(BOT, "ring")
        await bots.set_webhook_fingerprint(BOT, "a fingerprint")
        both = await bots.webhooks()
        await bots.set_webhook_secret(BOT, "ring")

        assert both == {BOT: StoredWebhook(secret="knock", next_secret="ring", fingerprint="a fingerprint")}
        assert "knock" not in repr(both)
        assert await bots.webhooks() == {BOT: StoredWebhook(secret="ring", fingerprint="a fingerprint")}

    async def test_the_source_of_a_bots_updates_is_stored(self, bots: Bots) -> None:
        await add(bots)
        before = await bots.get(BOT)

        await bots.set_updates(BOT, Source.POLLING)

        after = await bots.get(BOT)
        assert before is not None
        assert after is not None
        assert (before.updates, after.updates) == (None, Source.POLLING)

    async def test_an_unknown_source_is_refused(self, bots: Bots) -> None:
        await add(bots)

        with pytest.raises(LedgerError, match="source_is_known"):
            await bots.set_updates(BOT, SimpleNamespace(value="pigeon"))  # type: ignore[arg-type]

    async def test_existing_bots_are_found_in_one_read(self, bots: Bots) -> None:
        await add(bots)

        assert await bots.among([BOT, 43]) == {BOT}

    async def test_a_bot_that_was_never_added_cannot_be_changed(self, bots: Bots) -> None:
        assert not await bots.set_weight(BOT, 2)
        assert not await bots.remove(BOT, keep_messages=False)

    @pytest.mark.parametrize("keep_messages", [True, False])
    async def test_a_removed_bot_loses_its_secrets_and_is_paused_until_it_is_added_again(
        self, bots: Bots, database: Database, *, keep_messages: bool
    ) -> None:
        ledger = SqlLedger(database)
        await add(bots)
        await bots.set_webhook_secret(BOT, "knock")
        await bots.set_updates(BOT, Source.POLLING)
        await bots.set_weight(BOT, 3)
        await ledger.pause(BOT, paused=True)

        assert await bots.remove(BOT, keep_messages=keep_messages)

        assert not await bots.remove(BOT, keep_messages=keep_messages)
        assert (await bots.get(BOT), await bots.tokens(), await bots.webhooks()) == (None, {}, {})
        assert await bots.removed() == {BOT: Removal.KEEP if keep_messages else Removal.CANCEL}
        assert await ledger.paused_bots() == [BOT]
        await ledger.pause(BOT, paused=True)  # a last call met a token that was revoked
        await add(bots, "42:BBBB")
        [again] = await bots.all()
        assert (again.paused, again.weight, again.updates, await bots.removed()) == (False, 1, None, {})
        assert await ledger.paused_bots() == []

    async def test_a_bot_whose_messages_were_cancelled_is_marked_as_cleared(
        self, bots: Bots, database: Database
    ) -> None:
        await add(bots)
        await bots.remove(BOT, keep_messages=False)

        await bots.mark_cleared(BOT)

        assert await bots.removed() == {BOT: Removal.DONE}
        assert await SqlLedger(database).paused_bots() == [BOT]

    async def test_messages_that_are_kept_are_not_marked_cleared(self, bots: Bots) -> None:
        await add(bots)
        await bots.remove(BOT, keep_messages=True)

        await bots.mark_cleared(BOT)

        assert await bots.removed() == {BOT: Removal.KEEP}

    async def test_a_token_of_another_secret_key_counts_as_unreadable(self, bots: Bots, database: Database) -> None:
        await add(bots)
        await bots.set_webhook_secret(BOT, "knock")
        await SqlLedger(database).pause(BOT, paused=True, by=PausedBy.TOKEN)
        others = Bots(database, Seal("a key that was lost and replaced"))

        stored, readable = (await others.stored())[BOT], (await bots.stored())[BOT]

        assert await others.tokens() == {BOT: None}
        assert stored is not None
        assert readable is not None
        assert (stored.token, stored.webhook) == (None, StoredWebhook())
        assert [each.registered.paused_by for each in (stored, readable)] == [PausedBy.UNREADABLE, PausedBy.TOKEN]

    @pytest.mark.parametrize("damaged", [b"", b"cut off", b"garbage" * 10, None])
    async def test_a_damaged_token_leaves_the_bot_and_the_others_as_they_are(
        self, bots: Bots, database: Database, damaged: bytes | None
    ) -> None:
        await add(bots)
        await bots.add(43, "43:AAAA", username="other", first_name="", behaviours={}, now_ms=NOW_MS)
        change = update(table).where(table.c.bot_id == BOT).values(sealed_token=damaged)
        await database.write_alone(lambda connection: connection.execute(change))

        assert await bots.tokens() == {BOT: None, 43: "43:AAAA"}
        assert await bots.among([BOT, 43]) == {BOT, 43}
        assert [each.behaviours for each in await bots.all()] == [ECHO, {}]
        assert (await bots.stored())[BOT] is not None

    async def test_the_file_ids_of_a_removed_bot_are_deleted_once_its_messages_are_cancelled(
        self, bots: Bots, database: Database
    ) -> None:
        uploads = Uploads(database)
        for bot_id in (BOT, BOT + 1, BOT + 2):
            await bots.add(bot_id, f"{bot_id}:x", username="", first_name="", behaviours={}, now_ms=NOW_MS)
            await uploads.remember_file_id(bot_id, "a" * 64, "photo", f"AgAC-{bot_id}")
        await bots.remove(BOT, keep_messages=False)
        await bots.remove(BOT + 1, keep_messages=True)

        for bot_id in (BOT, BOT + 1, BOT + 2):
            await bots.mark_cleared(bot_id)

        async with database.reading() as connection:
            left = list((await connection.execute(select(file_ids.c.bot_id).order_by(file_ids.c.bot_id))).scalars())
        assert left == [BOT + 1, BOT + 2]


class TestBotsOnSqlite(OnSqlite, BotsContract):
    async def test_no_file_contains_a_secret_in_plain_text(self, bots: Bots, tmp_path: Path) -> None:
        await add(bots)
        await bots.set_webhook_secret(BOT, "knock-knock-knock")

        written = bytes_in(tmp_path)

        assert b"a_bot" in written
        assert TOKEN.encode() not in written
        assert b"knock-knock" not in written


class TestBotsOnPostgres(OnPostgres, BotsContract):
    pass
