"""Two processes with a queue in memory must not share their books."""

from __future__ import annotations

import pytest

from engine.errors import SettingsError
from storage.sole_use import sole_use
from tests.storage.backends import OnPostgres, OnSqlite


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
    pass
