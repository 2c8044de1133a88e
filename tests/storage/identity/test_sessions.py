from __future__ import annotations

import pytest

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import api_sessions
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Credential, Digests, Kind
from tempogram.storage.identity.sessions import ABSOLUTE_MS, IDLE_MS, OF_ONE_USER_MAX, SEEN_EVERY_MS, ApiSessions
from tempogram.storage.identity.users import User, Users
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite
from tests.storage.identity.sessions import begin
from tests.storage.statements import noted, plan_of

DIGESTS = Digests("a key that no trial finds")


async def ada(database: Database) -> User:
    return await Users(database).add("ada", Role.OPERATOR, now_ms=NOW_MS)


class ApiSessionsContract:
    async def test_a_session_is_found_by_its_cookie(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        user = await ada(database)

        begun = await begin(sessions, user.id, address="203.0.113.7", now_ms=NOW_MS)

        assert await sessions.of_cookie(begun.cookie, now_ms=NOW_MS) == begun.session
        assert (begun.session.user_name, begun.session.role) == ("ada", Role.OPERATOR)
        assert begun.cookie not in repr(begun)

    async def test_each_session_has_an_id_and_a_cookie_of_its_own(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        user = await ada(database)

        begun = [await begin(sessions, user.id, address="", now_ms=NOW_MS) for _ in range(2)]

        assert len({each.session.id for each in begun}) == len({each.cookie for each in begun}) == 2

    async def test_a_further_session_ends_the_oldest_of_too_many(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        user = await ada(database)
        begun = [await begin(sessions, user.id, address="", now_ms=NOW_MS + n) for n in range(OF_ONE_USER_MAX + 2)]

        left = await sessions.of_user(user.id, now_ms=NOW_MS + OF_ONE_USER_MAX + 2)

        assert left == [each.session for each in begun[2:]]

    async def test_no_session_begins_for_a_password_that_was_changed_meanwhile(self, database: Database) -> None:
        sessions, users = ApiSessions(database, DIGESTS), Users(database)
        user = await users.add("ada", Role.OPERATOR, password_digest="the first", now_ms=NOW_MS)

        assert await sessions.add(user.id, address="", now_ms=NOW_MS, password_digest="the first") is not None
        await users.set_password(user.id, "the second")

        assert await sessions.add(user.id, address="", now_ms=NOW_MS, password_digest="the first") is None

    @pytest.mark.parametrize("how", ["disabled", "removed"])
    async def test_no_session_begins_for_a_user_that_is(self, database: Database, how: str) -> None:
        sessions, users = ApiSessions(database, DIGESTS), Users(database)
        user = await ada(database)

        if how == "disabled":
            await users.change(user.id, is_active=False)
        else:
            await users.remove(user.id)

        assert await sessions.add(user.id, address="", now_ms=NOW_MS) is None

    async def test_a_forged_cookie_is_refused(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        begun = await begin(sessions, (await ada(database)).id, address="", now_ms=NOW_MS)
        known = Credential.read(begun.cookie, Kind.SESSION)
        assert known is not None

        forged = Credential(Kind.SESSION, known.id, Credential.new(Kind.SESSION).secret)

        assert await sessions.of_cookie(forged.text, now_ms=NOW_MS) is None
        assert await sessions.of_cookie("", now_ms=NOW_MS) is None

    async def test_a_session_ends_when_it_is_idle(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        begun = await begin(sessions, (await ada(database)).id, address="", now_ms=NOW_MS)

        assert await sessions.of_cookie(begun.cookie, now_ms=NOW_MS + IDLE_MS - 1) is not None
        assert await sessions.of_cookie(begun.cookie, now_ms=NOW_MS + IDLE_MS) is None

    async def test_a_session_lives_longer_by_its_use_but_not_beyond_its_absolute_end(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        begun = await begin(sessions, (await ada(database)).id, address="", now_ms=NOW_MS)
        now_ms = NOW_MS

        while now_ms + IDLE_MS // 2 < NOW_MS + ABSOLUTE_MS:
            now_ms += IDLE_MS // 2
            assert await sessions.of_cookie(begun.cookie, now_ms=now_ms) is not None
            await sessions.note_use(begun.session.id, now_ms=now_ms)

        assert await sessions.of_cookie(begun.cookie, now_ms=NOW_MS + ABSOLUTE_MS) is None

    async def test_the_last_use_is_written_at_most_once_a_minute(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        user = await ada(database)
        begun = await begin(sessions, user.id, address="", now_ms=NOW_MS)
        seen = []

        for after_ms in (SEEN_EVERY_MS - 1, SEEN_EVERY_MS):
            await sessions.note_use(begun.session.id, now_ms=NOW_MS + after_ms)
            seen += [each.seen_at_ms for each in await sessions.of_user(user.id, now_ms=NOW_MS)]

        assert seen == [NOW_MS, NOW_MS + SEEN_EVERY_MS]

    async def test_one_session_is_ended_by_its_user_only(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        user = await ada(database)
        first, second = [await begin(sessions, user.id, address="", now_ms=NOW_MS + n) for n in range(2)]

        assert not await sessions.end(first.session.id, user_id="another")
        assert await sessions.end(first.session.id, user_id=user.id)
        assert await sessions.of_cookie(first.cookie, now_ms=NOW_MS) is None
        assert await sessions.of_user(user.id, now_ms=NOW_MS) == [second.session]

    async def test_all_sessions_of_a_user_are_ended_and_no_other_ones(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        user = await ada(database)
        eve = await Users(database).add("eve", Role.VIEWER, now_ms=NOW_MS)
        for _ in range(2):
            await begin(sessions, user.id, address="", now_ms=NOW_MS)
        other = await begin(sessions, eve.id, address="", now_ms=NOW_MS)

        assert await sessions.end_all(user.id) == 2
        assert await sessions.of_user(user.id, now_ms=NOW_MS) == []
        assert await sessions.of_cookie(other.cookie, now_ms=NOW_MS) == other.session

    async def test_the_check_of_a_session_is_one_query_by_its_index(self, database: Database) -> None:
        sessions = ApiSessions(database, DIGESTS)
        begun = await begin(sessions, (await ada(database)).id, address="", now_ms=NOW_MS)

        with noted() as statements:
            await sessions.of_cookie(begun.cookie, now_ms=NOW_MS)

        asked = [each for each in statements if "api_sessions" in each.text]
        assert len(asked) == 1
        assert "ix_sessions_token_active_expires" in await plan_of(database, asked[0], may_scan=False)


def test_the_indexes_are_named_and_ordered_as_they_were_asked_for() -> None:
    found = {str(index.name): [column.name for column in index.columns] for index in api_sessions.indexes}

    assert found["ix_sessions_token_active_expires"] == ["token_id", "is_active", "expires_at"]
    assert found["ix_sessions_expires_active"] == ["expires_at", "is_active"]


class TestApiSessionsOnSqlite(OnSqlite, ApiSessionsContract):
    pass


class TestApiSessionsOnPostgres(OnPostgres, ApiSessionsContract):
    pass
