"""``SECRET_KEY`` is changed while processes run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Connection, update

from tempogram.engine.model.errors import LedgerAway, SettingsError
from tempogram.storage.bots import Bots, StoredWebhook
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots as table
from tempogram.storage.key_rotation import CHUNK, KeyRotation, UnderKeys
from tempogram.storage.keys import Seal
from tempogram.storage.processes.identity import check_key
from tempogram.storage.processes.membership import SqlMembership, membership
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite

FORMER, PRESENT = "the key that was used before", "the key that is used now"

BOTS = range(1, CHUNK + 11)


def both() -> Seal:
    """What a process has while the key is changed."""
    return Seal(PRESENT, FORMER)


async def added(bots: Bots, bot_id: int) -> None:
    await bots.add(bot_id, f"{bot_id}:token", username="", first_name="", behaviours={}, now_ms=NOW_MS)


def rotation(database: Database, seal: Seal | None = None) -> KeyRotation:
    return KeyRotation(database, seal or both(), SqlMembership(database))


class KeyRotationContract:
    @pytest.fixture
    async def former(self, database: Database) -> Bots:
        """Bots of before."""
        seal = Seal(FORMER)
        await check_key(database, seal)
        bots = Bots(database, seal)
        for bot_id in BOTS:
            await added(bots, bot_id)
        await bots.set_webhook_secret(1, "knock")
        await bots.set_next_webhook_secret(1, "knock again")
        return bots

    async def test_a_process_with_both_keys_reads_all_and_writes_what_the_others_can_read(
        self, database: Database, former: Bots
    ) -> None:
        seal = both()
        await check_key(database, seal)
        bots = Bots(database, seal)

        await added(bots, 1_000)

        assert (await bots.tokens())[1] == "1:token"
        assert (await former.tokens())[1_000] == "1000:token"

    async def test_afterwards_the_present_key_alone_reads_everything(self, database: Database, former: Bots) -> None:
        counted = await rotation(database).rotate()

        alone = Seal(PRESENT)
        await check_key(database, alone)
        bots = Bots(database, alone)
        assert counted == UnderKeys(present=len(BOTS))
        assert await bots.tokens() == {bot_id: f"{bot_id}:token" for bot_id in BOTS}
        assert (await bots.webhooks())[1] == StoredWebhook(secret="knock", next_secret="knock again")
        with pytest.raises(SettingsError):
            await check_key(database, Seal(FORMER))

    async def test_what_another_process_adds_meanwhile_is_under_the_present_key(
        self, database: Database, former: Bots
    ) -> None:
        seal = both()
        await check_key(database, seal)
        other = Bots(database, seal)
        await rotation(database).rotate()

        await added(other, 1_000)
        await other.set_next_webhook_secret(2, "knock")

        assert await rotation(database).count() == UnderKeys(present=len(BOTS) + 1)

    async def test_a_rotation_that_was_killed_goes_on_when_it_is_called_again(
        self, database: Database, former: Bots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_alone, chunks = database.write_alone, 0

        async def killed(work: Callable[[Connection], object]) -> object:
            nonlocal chunks
            chunks += "_chunk" in repr(work.__code__.co_names)
            if chunks > 1:
                raise LedgerAway("killed")
            return await write_alone(work)

        monkeypatch.setattr(database, "write_alone", killed)
        with pytest.raises(LedgerAway):
            await rotation(database).rotate()
        monkeypatch.setattr(database, "write_alone", write_alone)
        between = await rotation(database).count()

        after = await rotation(database).rotate()

        assert between == UnderKeys(present=CHUNK, former=len(BOTS) - CHUNK)
        assert after == UnderKeys(present=len(BOTS))
        assert await Bots(database, Seal(PRESENT)).tokens() == {bot_id: f"{bot_id}:token" for bot_id in BOTS}

    async def test_what_neither_key_decrypts_stays_as_it_is(self, database: Database, former: Bots) -> None:
        garbage = update(table).where(table.c.bot_id == 2).values(sealed_token=b"garbage")
        await database.write_alone(lambda connection: connection.execute(garbage).rowcount)

        counted = await rotation(database).rotate()

        assert counted == UnderKeys(present=len(BOTS) - 1, unreadable=1)

    async def test_without_a_former_key_there_is_nothing_to_change(self, database: Database, former: Bots) -> None:
        with pytest.raises(SettingsError, match="there is no FORMER_SECRET_KEY"):
            await rotation(database, Seal(FORMER)).rotate()

    async def test_two_that_are_called_at_once_do_no_harm(self, database: Database, former: Bots) -> None:
        import asyncio

        calls: list[Awaitable[UnderKeys]] = [rotation(database).rotate() for _ in range(2)]
        await asyncio.gather(*calls)

        assert await rotation(database).count() == UnderKeys(present=len(BOTS))


class TestKeyRotationOnSqlite(OnSqlite, KeyRotationContract):
    pass


class TestKeyRotationOnPostgres(OnPostgres, KeyRotationContract):
    async def test_beside_a_process_without_the_new_key_nothing_is_changed(
        self, database: Database, former: Bots, url: str
    ) -> None:
        old, new = Seal(FORMER), both()
        async with membership(url, 7, fingerprints=old.fingerprints), membership(url, 8, fingerprints=new.fingerprints):
            with pytest.raises(SettingsError, match="1 of the processes that run do not have the new SECRET_KEY"):
                await rotation(database).rotate()
        assert await rotation(database).count() == UnderKeys(former=len(BOTS))

        async with membership(url, 7, fingerprints=new.fingerprints), membership(url, 8, fingerprints=new.fingerprints):
            assert await rotation(database).rotate() == UnderKeys(present=len(BOTS))
