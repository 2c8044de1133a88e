"""Two processes with a queue in memory must not share their books."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from engine.errors import SettingsError
from storage.sole_use import PostgresSoleUse, SoleUse, sole_use
from tests.storage.backends import OnPostgres, OnSqlite
from tests.storage.servers import DISCONNECT_OTHERS, run


class SoleUseContract:
    async def test_a_second_one_is_refused_in_one_sentence(self, url: str) -> None:
        async with sole_use(url):
            with pytest.raises(SettingsError, match="another tempogram runs on the books"):
                async with sole_use(url, patience_s=0.01):
                    pass

    async def test_the_books_are_free_again_afterwards(self, url: str) -> None:
        async with sole_use(url):
            pass
        async with sole_use(url):
            pass


class TestSoleUseOnSqlite(OnSqlite, SoleUseContract):
    pass


class TestSoleUseOnPostgres(OnPostgres, SoleUseContract):
    async def test_a_lock_that_broke_with_its_connection_is_taken_again(self, url: str) -> None:
        async with sole_use(url) as use:
            await run(url, DISCONNECT_OTHERS)
            await looked(use)

            with pytest.raises(SettingsError, match="another tempogram runs on the books"):
                async with sole_use(url, patience_s=0.01):
                    pass

    async def test_books_that_another_took_meanwhile_are_given_up_in_one_sentence(self, url: str) -> None:
        async with sole_use(url, patience_s=0.01) as use:
            await run(url, DISCONNECT_OTHERS)
            async with sole_use(url):
                with pytest.raises(SettingsError, match="another tempogram runs on the books"):
                    await looked(use)

    async def test_a_lock_that_stands_is_left_alone(self, url: str) -> None:
        async with sole_use(url) as use:
            with capture_logs() as logged:
                await looked(use)
                await looked(use)

        assert logged == []


async def looked(use: SoleUse) -> None:
    assert isinstance(use, PostgresSoleUse)
    await use.look()
