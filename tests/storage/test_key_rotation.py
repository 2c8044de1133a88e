"""``SECRET_KEY`` is changed while processes run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Connection, update

from tempogram.engine.model.errors import LedgerAway, SettingsError
from tempogram.storage.bots import Bots, StoredWebhook
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import api_tokens
from tempogram.storage.database.models import bots as table
from tempogram.storage.identity.links import LoginLinks
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.sessions import ApiSessions
from tempogram.storage.identity.tokens import ApiTokens
from tempogram.storage.identity.under_keys import DigestCount
from tempogram.storage.identity.users import Users
from tempogram.storage.key_rotation import CHUNK, KeyRotation, UnderKeys
from tempogram.storage.keys import Seal
from tempogram.storage.present_key import KeyChange, change_under_way, mark_change
from tempogram.storage.processes.identity import check_key
from tempogram.storage.processes.membership import SqlMembership, membership
from tempogram.storage.sealed_tokens import SealedTokens
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite
from tests.storage.identity.sessions import begin

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
        self, database: Database, halfway: Bots
    ) -> None:
        between = await rotation(database).count()

        after = await rotation(database).rotate()

        assert between == UnderKeys(present=CHUNK, former=len(BOTS) - CHUNK)
        assert after == UnderKeys(present=len(BOTS))
        assert await Bots(database, Seal(PRESENT)).tokens() == {bot_id: f"{bot_id}:token" for bot_id in BOTS}

    @pytest.fixture
    async def halfway(self, database: Database, former: Bots, monkeypatch: pytest.MonkeyPatch) -> Bots:
        """What a rotation leaves that was killed after its first chunk."""
        write_alone, chunks = database.write_alone, 0

        async def killed(work: Callable[[Connection], object]) -> object:
            nonlocal chunks
            chunks += "_chunk" in repr(work.__code__.co_names)
            if chunks > 1:
                raise LedgerAway("killed")
            return await write_alone(work)

        with monkeypatch.context() as patched:
            patched.setattr(database, "write_alone", killed)
            with pytest.raises(LedgerAway):
                await rotation(database).rotate()
        return former

    @pytest.mark.parametrize("key", [FORMER, PRESENT])
    async def test_halfway_a_process_with_one_key_is_refused_and_changes_nothing(
        self, database: Database, halfway: Bots, key: str
    ) -> None:
        with pytest.raises(SettingsError) as refused:
            await check_key(database, Seal(key))

        seal = both()
        await check_key(database, seal)
        await added(Bots(database, seal), 1_000)
        assert str(refused.value).startswith("SECRET_KEY is being changed, and this process does not have both keys; ")
        assert await rotation(database).count() == UnderKeys(present=CHUNK + 1, former=len(BOTS) - CHUNK)
        assert await rotation(database).rotate() == UnderKeys(present=len(BOTS) + 1)
        await check_key(database, Seal(PRESENT))

    async def test_a_rotation_killed_before_its_end_was_noted_lets_the_new_key_start_alone(
        self, database: Database, former: Bots
    ) -> None:
        await rotation(database).rotate()
        present, before = both().fingerprints
        mark = KeyChange(former=before, present=present)
        await database.write_alone(lambda connection: mark_change(connection, mark))

        with pytest.raises(SettingsError, match="SECRET_KEY is being changed"):
            await check_key(database, Seal(FORMER))
        await check_key(database, Seal(PRESENT))

        assert await change_under_way(database) is None

    async def test_a_key_can_be_changed_back_halfway(self, database: Database, halfway: Bots) -> None:
        back = Seal(FORMER, PRESENT)
        await check_key(database, back)

        counted = await rotation(database, back).rotate()

        await check_key(database, Seal(FORMER))
        assert counted == UnderKeys(present=len(BOTS))
        assert await halfway.tokens() == {bot_id: f"{bot_id}:token" for bot_id in BOTS}

    async def test_halfway_a_change_to_a_third_key_is_refused(self, database: Database, halfway: Bots) -> None:
        with pytest.raises(SettingsError, match="another change of SECRET_KEY is under way"):
            await rotation(database, Seal("a third key of the same sort", PRESENT)).rotate()

    async def test_a_row_that_neither_key_decrypts_does_not_keep_the_change_from_ending(
        self, database: Database, halfway: Bots
    ) -> None:
        garbage = update(table).where(table.c.bot_id == BOTS[-1]).values(sealed_token=b"garbage")
        await database.write_alone(lambda connection: connection.execute(garbage).rowcount)

        await rotation(database).rotate()

        await check_key(database, Seal(PRESENT))
        assert await change_under_way(database) is None

    @pytest.mark.parametrize(("key", "lost"), [(PRESENT, BOTS[CHUNK:]), (FORMER, BOTS[:CHUNK])])
    async def test_where_one_key_is_lost_halfway_the_other_goes_on_and_says_which_bots_are_left(
        self, database: Database, halfway: Bots, key: str, lost: range
    ) -> None:
        tokens = SealedTokens(database, Seal(key))

        found = await tokens.rotate(None)

        await check_key(database, Seal(key))
        assert (found.left, len(found.renewed)) == (list(lost), len(BOTS) - len(lost))
        with pytest.raises(SettingsError, match="no change of SECRET_KEY is under way"):
            await tokens.rotate(None)

    async def test_where_the_former_key_is_lost_halfway_the_change_ends_with_the_last_token_entered_anew(
        self, database: Database, halfway: Bots
    ) -> None:
        tokens, *lost, removed = SealedTokens(database, Seal(PRESENT)), *BOTS[CHUNK:]
        for bot_id in lost:
            await tokens.enter(bot_id, f"{bot_id}:anew")
        with pytest.raises(SettingsError, match="SECRET_KEY is being changed"):
            await check_key(database, Seal(PRESENT))

        await tokens.remove(removed, keep_messages=False)

        assert await change_under_way(database) is None
        await check_key(database, Seal(PRESENT))

    async def test_halfway_no_token_is_entered_under_the_former_key_alone(
        self, database: Database, halfway: Bots
    ) -> None:
        with pytest.raises(SettingsError, match="SECRET_KEY is being changed"):
            await SealedTokens(database, Seal(FORMER)).enter(BOTS[-1], "anew")

    async def test_where_both_keys_are_lost_halfway_a_token_entered_anew_makes_a_third_key_the_right_one(
        self, database: Database, halfway: Bots
    ) -> None:
        third = Seal("a third key of the same sort")
        with pytest.raises(SettingsError, match="SECRET_KEY decrypts no token"):
            await SealedTokens(database, third).rotate(None)

        assert await SealedTokens(database, third).enter(1, "1:anew")

        await check_key(database, third)
        assert (await Bots(database, third).tokens())[1] == "1:anew"

    async def test_while_nothing_runs_the_former_key_ends_a_change_that_was_killed_halfway(
        self, database: Database, halfway: Bots
    ) -> None:
        assert (await SealedTokens(database, Seal(PRESENT)).rotate(Seal(FORMER))).left == []

        await check_key(database, Seal(PRESENT))
        assert await Bots(database, Seal(PRESENT)).tokens() == {bot_id: f"{bot_id}:token" for bot_id in BOTS}

    async def test_api_tokens_are_counted_by_the_key_without_which_they_stop(
        self, database: Database, former: Bots
    ) -> None:
        before = ApiTokens(database, Seal(FORMER).digests)
        made = [await before.add(name, Role.VIEWER, now_ms=NOW_MS) for name in ("used", "idle", "old", "gone")]
        await before.revoke(made[3].token.id, now_ms=NOW_MS)
        unmarked = update(api_tokens).where(api_tokens.c.id == made[2].token.id).values(key_fingerprint=None)
        await database.write_alone(lambda connection: connection.execute(unmarked).rowcount)
        rotating, other = both(), both()
        for seal in (rotating, other):
            await check_key(database, seal)
        await ApiTokens(database, other.digests).of_text(made[0].text, now_ms=NOW_MS)  # too early: they need the former

        counted = (await rotation(database, rotating).state(now_ms=NOW_MS)).digests.api_tokens
        await rotation(database, rotating).rotate()
        await ApiTokens(database, other.digests).of_text(made[0].text, now_ms=NOW_MS)
        added_since = await ApiTokens(database, other.digests).add("new", Role.VIEWER, now_ms=NOW_MS)
        after = (await rotation(database, rotating).state(now_ms=NOW_MS)).digests.api_tokens

        alone = ApiTokens(database, Seal(PRESENT).digests)
        lets_in = [await alone.of_text(each.text, now_ms=NOW_MS) is not None for each in (*made[:3], added_since)]
        assert counted == DigestCount(former=2, unknown=1)
        assert after == DigestCount(present=2, former=1, unknown=1)
        assert lets_in == [True, False, False, True]

    async def test_a_session_that_is_used_while_there_are_two_keys_is_good_afterwards(
        self, database: Database, former: Bots
    ) -> None:
        user = await Users(database).add("ada", Role.VIEWER, now_ms=NOW_MS)
        session = await begin(ApiSessions(database, Seal(FORMER).digests), user.id, address="", now_ms=NOW_MS)
        await LoginLinks(database, Seal(FORMER).digests).add(user.id, now_ms=NOW_MS)
        await rotation(database).rotate()

        before = (await rotation(database).state(now_ms=NOW_MS)).digests
        await ApiSessions(database, both().digests).of_cookie(session.cookie, now_ms=NOW_MS)
        after = (await rotation(database).state(now_ms=NOW_MS)).digests

        assert (before.sessions, before.login_links) == (DigestCount(former=1), DigestCount(former=1))
        assert after.sessions == DigestCount(present=1)
        assert await ApiSessions(database, Seal(PRESENT).digests).of_cookie(session.cookie, now_ms=NOW_MS)

    async def test_what_neither_key_decrypts_stays_as_it_is(self, database: Database, former: Bots) -> None:
        garbage = update(table).where(table.c.bot_id == 2).values(sealed_token=b"garbage")
        await database.write_alone(lambda connection: connection.execute(garbage).rowcount)

        counted = await rotation(database).rotate()

        assert counted == UnderKeys(present=len(BOTS) - 1, unreadable=1)

    async def test_without_a_former_key_there_is_nothing_to_change(self, database: Database, former: Bots) -> None:
        with pytest.raises(SettingsError, match="there is no FORMER_SECRET_KEY"):
            await rotation(database, Seal(FORMER)).rotate()

    async def test_two_that_are_called_at_once_do_no_harm(self, database: Database, former: Bots) -> None:
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

    async def test_a_refused_rotation_leaves_no_mark(self, database: Database, former: Bots, url: str) -> None:
        async with membership(url, 7, fingerprints=Seal(FORMER).fingerprints):
            with pytest.raises(SettingsError, match="do not have the new SECRET_KEY"):
                await rotation(database).rotate()

        await check_key(database, Seal(FORMER))

    async def test_what_is_written_while_the_key_changes_is_under_the_key_of_its_transaction(
        self, database: Database, former: Bots, url: str
    ) -> None:
        """A write that had read the former key, and came after the change, was under the former key for good."""
        other, seal = await Database.open(url), both()
        await check_key(other, seal)
        adding = asyncio.gather(*(added(Bots(other, seal), bot_id) for bot_id in range(1_000, 1_100)))

        await rotation(database).rotate()
        await adding
        await other.close()

        assert await rotation(database).count() == UnderKeys(present=len(BOTS) + 100)
