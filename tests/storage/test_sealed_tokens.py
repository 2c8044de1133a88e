"""The tokens of a database whose key was lost or is to be replaced."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.messages import PausedBy
from tempogram.storage.bots import Bots, StoredWebhook
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots as table
from tempogram.storage.keys import Seal
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.processes.identity import check_key
from tempogram.storage.processes.membership import membership
from tempogram.storage.sealed_tokens import Rotation, SealedTokens
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite

FORMER, PRESENT = Seal("the key that was used before"), Seal("the key that is used now")


class SealedTokensContract:
    @pytest.fixture
    async def former(self, database: Database) -> Bots:
        """Two bots, encrypted with the former key."""
        bots = Bots(database, FORMER)
        await check_key(database, FORMER)
        for bot_id in (41, 42):
            await bots.add(
                bot_id, f"{bot_id}:former", username=f"b{bot_id}", first_name="", behaviours={}, now_ms=NOW_MS
            )
        await bots.set_webhook_secret(42, "knock")
        await bots.set_webhook_fingerprint(42, "a fingerprint")
        return bots

    async def test_it_is_said_of_each_bot_whether_its_token_can_be_read(self, database: Database, former: Bots) -> None:
        change = update(table).where(table.c.bot_id == 41).values(sealed_token=b"garbage")
        await database.write_alone(lambda connection: connection.execute(change))

        found = [await SealedTokens(database, key).all() for key in (FORMER, PRESENT)]

        assert [[(each.bot_id, each.username, each.is_readable) for each in bots] for bots in found] == [
            [(41, "b41", False), (42, "b42", True)],
            [(41, "b41", False), (42, "b42", False)],
        ]

    async def test_a_token_that_is_entered_anew_makes_the_present_key_the_right_one(
        self, database: Database, former: Bots
    ) -> None:
        await SqlLedger(database).pause(42, paused=True, by=PausedBy.TOKEN)

        assert await SealedTokens(database, PRESENT).enter(42, "42:present")

        bots = Bots(database, PRESENT)
        await check_key(database, PRESENT)
        assert await bots.tokens() == {41: None, 42: "42:present"}
        assert (await bots.webhooks())[42] == StoredWebhook()
        assert await SqlLedger(database).paused_bots() == []

    async def test_no_token_is_entered_for_a_bot_that_does_not_exist(self, database: Database, former: Bots) -> None:
        assert not await SealedTokens(database, PRESENT).enter(43, "43:token")
        with pytest.raises(SettingsError):
            await check_key(database, PRESENT)

    async def test_a_rotation_encrypts_all_anew_and_changes_nothing_when_done_again(
        self, database: Database, former: Bots
    ) -> None:
        tokens = SealedTokens(database, PRESENT)

        rotations = [await tokens.rotate(FORMER), await tokens.rotate(FORMER)]

        bots = Bots(database, PRESENT)
        await check_key(database, PRESENT)
        assert rotations == [Rotation([41, 42], [])] * 2
        assert await bots.tokens() == {41: "41:former", 42: "42:former"}
        assert (await bots.webhooks())[42] == StoredWebhook(secret="knock", fingerprint="a fingerprint")
        assert await former.tokens() == {41: None, 42: None}

    async def test_a_rotation_names_what_neither_key_decrypts(self, database: Database, former: Bots) -> None:
        change = update(table).where(table.c.bot_id == 41).values(sealed_token=b"garbage")
        await database.write_alone(lambda connection: connection.execute(change))

        assert await SealedTokens(database, PRESENT).rotate(FORMER) == Rotation([42], [41])

    async def test_a_rotation_from_a_wrong_key_changes_nothing(self, database: Database, former: Bots) -> None:
        with pytest.raises(SettingsError, match="neither the former key that was entered nor SECRET_KEY decrypts any"):
            await SealedTokens(database, PRESENT).rotate(Seal("a key that was never used"))

        await check_key(database, FORMER)
        assert await former.tokens() == {41: "41:former", 42: "42:former"}


class TestSealedTokensOnSqlite(OnSqlite, SealedTokensContract):
    pass


class TestSealedTokensOnPostgres(OnPostgres, SealedTokensContract):
    async def test_beside_processes_with_another_key_nothing_is_changed(
        self, database: Database, former: Bots, url: str
    ) -> None:
        tokens = SealedTokens(database, PRESENT)
        async with membership(url, 7):
            with pytest.raises(SettingsError, match="SECRET_KEY is not the one of the processes that run"):
                await tokens.enter(42, "42:present")
            with pytest.raises(SettingsError, match="stop all of them first"):
                await tokens.rotate(FORMER)

        assert await former.tokens() == {41: "41:former", 42: "42:former"}

    async def test_beside_processes_with_the_same_key_a_token_is_entered(
        self, database: Database, former: Bots, url: str
    ) -> None:
        async with membership(url, 7):
            assert await SealedTokens(database, FORMER).enter(42, "42:new")

        assert await former.tokens() == {41: "41:former", 42: "42:new"}
