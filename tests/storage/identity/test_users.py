from __future__ import annotations

import asyncio

import pytest

from tempogram.storage.database.database import Database
from tempogram.storage.identity.links import LoginLinks
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Digests
from tempogram.storage.identity.sessions import ApiSessions
from tempogram.storage.identity.tokens import ApiTokens
from tempogram.storage.identity.users import NameTaken, Users
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite
from tests.storage.identity.sessions import begin

DIGESTS = Digests("a key that no trial finds")


class UsersContract:
    async def test_a_user_is_found_by_its_name_in_any_case(self, database: Database) -> None:
        users = Users(database)

        ada = await users.add("Ada", Role.OPERATOR, now_ms=NOW_MS)

        assert await users.named("ADA") == await users.get(ada.id) == ada
        assert (ada.is_active, ada.has_password, ada.role) == (True, False, Role.OPERATOR)
        assert await users.named("Eve") is await users.get("none") is None

    async def test_of_two_that_take_a_name_at_once_one_gets_it(self, database: Database) -> None:
        users = Users(database)

        made = await asyncio.gather(
            *(users.add(name, Role.VIEWER, now_ms=NOW_MS) for name in ("ada", "Ada")), return_exceptions=True
        )

        assert [type(each) for each in made if isinstance(each, BaseException)] == [NameTaken]
        assert len(await users.all()) == 1

    async def test_users_are_listed_by_name(self, database: Database) -> None:
        users = Users(database)
        for name in ("eve", "Ada", "bob"):
            await users.add(name, Role.VIEWER, now_ms=NOW_MS)

        assert [each.name for each in await users.all()] == ["Ada", "bob", "eve"]

    async def test_what_is_stored_of_a_password_is_read_by_itself_only(self, database: Database) -> None:
        users = Users(database)

        ada = await users.add("ada", Role.VIEWER, password_digest="$argon2id$canary", now_ms=NOW_MS)

        assert await users.password_digest(ada.id) == "$argon2id$canary"
        assert ada.has_password
        assert "canary" not in repr(await users.all())

    async def test_a_role_is_changed_and_the_rest_stays(self, database: Database) -> None:
        users = Users(database)
        ada = await users.add("ada", Role.VIEWER, now_ms=NOW_MS)

        changed = await users.change(ada.id, role=Role.ADMIN)

        assert changed is not None
        assert (changed.role, changed.is_active, changed.name) == (Role.ADMIN, True, "ada")
        assert await users.change("none", role=Role.ADMIN) is None

    @pytest.mark.parametrize("how", ["disabled", "password"])
    async def test_sessions_and_links_end_with_a_new_password_and_a_disabled_user(
        self, database: Database, how: str
    ) -> None:
        users, sessions, links = Users(database), ApiSessions(database, DIGESTS), LoginLinks(database, DIGESTS)
        ada = await users.add("ada", Role.VIEWER, now_ms=NOW_MS)
        session = await begin(sessions, ada.id, address="203.0.113.7", now_ms=NOW_MS)
        link = await links.add(ada.id, now_ms=NOW_MS)

        if how == "password":
            assert await users.set_password(ada.id, "$argon2id$")
        else:
            await users.change(ada.id, is_active=False)
            await users.change(ada.id, is_active=True)

        assert await sessions.of_cookie(session.cookie, now_ms=NOW_MS) is None
        assert await links.use(link, now_ms=NOW_MS) is None

    async def test_all_that_lets_a_user_in_is_removed_with_it(self, database: Database) -> None:
        users, tokens, sessions = Users(database), ApiTokens(database, DIGESTS), ApiSessions(database, DIGESTS)
        ada = await users.add("ada", Role.VIEWER, now_ms=NOW_MS)
        token = await tokens.add("ci", Role.VIEWER, user_id=ada.id, now_ms=NOW_MS)
        session = await begin(sessions, ada.id, address="", now_ms=NOW_MS)

        assert await users.remove(ada.id)

        assert await tokens.of_text(token.text, now_ms=NOW_MS) is None
        assert await sessions.of_cookie(session.cookie, now_ms=NOW_MS) is None
        assert await tokens.all() == []
        assert await users.all() == []
        assert not await users.remove(ada.id)


class TestUsersOnSqlite(OnSqlite, UsersContract):
    pass


class TestUsersOnPostgres(OnPostgres, UsersContract):
    pass
