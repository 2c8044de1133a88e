from __future__ import annotations

from sqlalchemy import select

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import api_tokens
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Credential, Digests, Kind
from tempogram.storage.identity.tokens import ApiToken, ApiTokens
from tempogram.storage.identity.users import Users
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite
from tests.storage.statements import noted, plan_of

DIGESTS = Digests("a key that no trial finds")


class ApiTokensContract:
    async def test_a_token_is_found_by_its_text(self, database: Database) -> None:
        tokens = ApiTokens(database, DIGESTS)

        made = await tokens.add("ci", Role.OPERATOR, bots=[43, 42], now_ms=NOW_MS)

        assert await tokens.of_text(made.text, now_ms=NOW_MS) == made.token
        assert (made.token.role, made.token.bots, made.token.user_id) == (Role.OPERATOR, frozenset({42, 43}), None)

    async def test_a_token_bound_to_no_bot_at_all_is_not_one_for_all(self, database: Database) -> None:
        tokens = ApiTokens(database, DIGESTS)

        bound = await tokens.add("none", Role.VIEWER, bots=[], now_ms=NOW_MS)
        free = await tokens.add("all", Role.VIEWER, now_ms=NOW_MS)

        assert (bound.token.bots, free.token.bots) == (frozenset(), None)

    async def test_the_secret_stands_neither_in_the_database_nor_in_a_representation(self, database: Database) -> None:
        made = await ApiTokens(database, DIGESTS).add("ci", Role.VIEWER, now_ms=NOW_MS)
        credential = Credential.read(made.text, Kind.TOKEN)
        assert credential is not None

        async with database.reading() as connection:
            row = (await connection.execute(select(api_tokens))).one()

        assert credential.secret not in repr(row) + repr(made)

    async def test_a_right_id_with_a_wrong_secret_is_refused(self, database: Database) -> None:
        tokens = ApiTokens(database, DIGESTS)
        made = await tokens.add("ci", Role.VIEWER, now_ms=NOW_MS)
        forged = Credential(Kind.TOKEN, made.token.id, Credential.new(Kind.TOKEN).secret)

        assert await tokens.of_text(forged.text, now_ms=NOW_MS) is None

    async def test_a_token_that_is_used_while_the_key_is_changed_is_good_afterwards(self, database: Database) -> None:
        made = await ApiTokens(database, DIGESTS).add("ci", Role.VIEWER, now_ms=NOW_MS)
        unused = await ApiTokens(database, DIGESTS).add("idle", Role.VIEWER, now_ms=NOW_MS)
        both = ApiTokens(database, Digests("the key from now on", "a key that no trial finds"))
        assert await both.of_text(made.text, now_ms=NOW_MS) == made.token

        after = ApiTokens(database, Digests("the key from now on"))

        assert await after.of_text(made.text, now_ms=NOW_MS) == made.token
        assert await after.of_text(unused.text, now_ms=NOW_MS) is None

    async def test_a_token_of_another_secret_key_is_refused(self, database: Database) -> None:
        made = await ApiTokens(database, DIGESTS).add("ci", Role.VIEWER, now_ms=NOW_MS)

        assert await ApiTokens(database, Digests("another secret key")).of_text(made.text, now_ms=NOW_MS) is None

    async def test_a_token_ends_at_its_time_and_not_before(self, database: Database) -> None:
        tokens = ApiTokens(database, DIGESTS)
        made = await tokens.add("ci", Role.VIEWER, expires_at_ms=NOW_MS + 1_000, now_ms=NOW_MS)

        assert await tokens.of_text(made.text, now_ms=NOW_MS + 999) == made.token
        assert await tokens.of_text(made.text, now_ms=NOW_MS + 1_000) is None

    async def test_a_token_is_revoked_once_and_stays_listed(self, database: Database) -> None:
        tokens = ApiTokens(database, DIGESTS)
        made = await tokens.add("ci", Role.VIEWER, now_ms=NOW_MS)

        revoked = [await tokens.revoke(made.token.id, now_ms=NOW_MS + 5) for _ in range(2)]

        assert revoked == [True, False]
        assert await tokens.of_text(made.text, now_ms=NOW_MS + 5) is None
        assert [each.revoked_at_ms for each in await tokens.all()] == [NOW_MS + 5]

    async def test_a_token_never_has_more_than_the_role_of_its_user(self, database: Database) -> None:
        users, tokens = Users(database), ApiTokens(database, DIGESTS)
        ada = await users.add("ada", Role.ADMIN, now_ms=NOW_MS)
        made = await tokens.add("ci", Role.OPERATOR, user_id=ada.id, now_ms=NOW_MS)
        found: list[ApiToken | None] = [await tokens.of_text(made.text, now_ms=NOW_MS)]

        await users.change(ada.id, role=Role.VIEWER)
        found.append(await tokens.of_text(made.text, now_ms=NOW_MS))
        await users.change(ada.id, is_active=False)

        assert [each and each.role for each in found] == [Role.OPERATOR, Role.VIEWER]
        assert await tokens.of_text(made.text, now_ms=NOW_MS) is None

    async def test_tokens_are_listed_by_user(self, database: Database) -> None:
        users, tokens = Users(database), ApiTokens(database, DIGESTS)
        ada = await users.add("ada", Role.ADMIN, now_ms=NOW_MS)
        own = await tokens.add("own", Role.VIEWER, user_id=ada.id, now_ms=NOW_MS + 1)
        other = await tokens.add("other", Role.VIEWER, now_ms=NOW_MS)

        assert await tokens.all(user_id=ada.id) == [own.token]
        assert await tokens.all() == [other.token, own.token]
        assert own.token.user_name == "ada"

    async def test_the_last_use_is_written_at_most_once_a_minute(self, database: Database) -> None:
        tokens = ApiTokens(database, DIGESTS)
        made = await tokens.add("ci", Role.VIEWER, now_ms=NOW_MS)
        seen = []

        for after_ms in (0, 59_999, 60_000):
            await tokens.note_use(made.token.id, now_ms=NOW_MS + after_ms)
            seen += [each.last_used_at_ms for each in await tokens.all()]

        assert seen == [NOW_MS, NOW_MS, NOW_MS + 60_000]

    async def test_a_text_that_is_no_token_costs_no_query_and_an_unknown_one_a_query(self, database: Database) -> None:
        tokens = ApiTokens(database, DIGESTS)
        unknown = Credential.new(Kind.TOKEN).text

        with noted() as statements:
            assert await tokens.of_text("correct-horse-battery-staple", now_ms=NOW_MS) is None
            without = len(statements)
            assert await tokens.of_text(unknown, now_ms=NOW_MS) is None

        found = [each for each in statements if "api_tokens" in each.text]
        assert (without, len(found)) == (0, 1)
        assert "api_tokens_key" in await plan_of(database, found[0], may_scan=False) or database.dialect == "sqlite"


class TestApiTokensOnSqlite(OnSqlite, ApiTokensContract):
    pass


class TestApiTokensOnPostgres(OnPostgres, ApiTokensContract):
    pass
