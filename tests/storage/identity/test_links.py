from __future__ import annotations

import asyncio

from tempogram.storage.database.database import Database
from tempogram.storage.identity.links import LINK_MS, LoginLinks
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.secrets import Credential, Digests, Kind
from tempogram.storage.identity.users import Users
from tests.storage.backends import NOW_MS, OnPostgres, OnSqlite
from tests.storage.statements import noted

DIGESTS = Digests("a key that no trial finds")


class LoginLinksContract:
    async def test_a_link_is_used_once_also_by_two_at_the_same_time(self, database: Database) -> None:
        links = LoginLinks(database, DIGESTS)
        ada = await Users(database).add("ada", Role.VIEWER, now_ms=NOW_MS)
        link = await links.add(ada.id, now_ms=NOW_MS)

        used = await asyncio.gather(*(links.use(link, now_ms=NOW_MS) for _ in range(3)))

        assert sorted(used, key=lambda each: each is not None) == [None, None, ada.id]
        assert await links.use(link, now_ms=NOW_MS) is None

    async def test_a_link_ends_at_its_time(self, database: Database) -> None:
        links = LoginLinks(database, DIGESTS)
        ada = await Users(database).add("ada", Role.VIEWER, now_ms=NOW_MS)
        link = await links.add(ada.id, now_ms=NOW_MS)

        assert await links.use(link, now_ms=NOW_MS + LINK_MS) is None
        assert await links.use(link, now_ms=NOW_MS + LINK_MS - 1) == ada.id

    async def test_a_new_link_ends_the_one_before(self, database: Database) -> None:
        links = LoginLinks(database, DIGESTS)
        ada = await Users(database).add("ada", Role.VIEWER, now_ms=NOW_MS)

        first, second = [await links.add(ada.id, now_ms=NOW_MS) for _ in range(2)]

        assert [await links.use(each, now_ms=NOW_MS) for each in (first, second)] == [None, ada.id]

    async def test_a_forged_link_uses_nothing_up_and_writes_nothing(self, database: Database) -> None:
        links = LoginLinks(database, DIGESTS)
        ada = await Users(database).add("ada", Role.VIEWER, now_ms=NOW_MS)
        link = await links.add(ada.id, now_ms=NOW_MS)
        known = Credential.read(link, Kind.LINK)
        assert known is not None
        forged = Credential(Kind.LINK, known.id, Credential.new(Kind.LINK).secret)

        with noted() as statements:
            assert await links.use(forged.text, now_ms=NOW_MS) is None

        assert not [each for each in statements if "DELETE" in each.text]
        assert await links.use(link, now_ms=NOW_MS) == ada.id


class TestLoginLinksOnSqlite(OnSqlite, LoginLinksContract):
    pass


class TestLoginLinksOnPostgres(OnPostgres, LoginLinksContract):
    pass
