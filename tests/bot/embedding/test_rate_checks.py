"""``tempogram.check_rate_limit``, in a program that runs."""

from __future__ import annotations

import asyncio

import pytest

import tempogram
from tempogram import LimitNotHeld, UnknownService, check_rate_limit
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.checking.rate_check import Begin
from tests.bot.embedding.started import Engine


async def test_the_limit_of_an_operation_holds(engine: Engine) -> None:
    report = await check_rate_limit("quickbase", "queries", expected_limit=10, window_s=1, duration_s=2.5)

    assert (report.name, report.held, report.most_in_window) == ("quickbase:queries", True, 10)
    assert report.calls >= 10


async def test_a_limit_that_is_higher_than_expected_fails_a_test_by_itself(engine: Engine) -> None:
    with pytest.raises(AssertionError, match="the limit of database:queries did not hold"):
        await check_rate_limit("database", "queries", expected_limit=9, window_s=1, duration_s=3)


async def test_any_other_limiter_is_checked_the_same_way() -> None:
    semaphore = asyncio.Semaphore(5)

    async def my_limiter(begin: Begin) -> None:
        async with semaphore:
            await begin()

    with pytest.raises(LimitNotHeld, match="the limit of my_limiter did not hold"):
        await check_rate_limit(call=my_limiter, expected_limit=5, window_s=1, duration_s=1)


async def test_an_unknown_operation_is_refused(engine: Engine) -> None:
    with pytest.raises(UnknownService, match="twilio has no operation 'fax'"):
        await check_rate_limit("twilio", "fax", expected_limit=1, window_s=1, duration_s=1)


async def test_without_an_engine_there_is_nothing_to_check() -> None:
    with pytest.raises(RuntimeError, match="no engine of Tempogram runs in this program"):
        await check_rate_limit("twilio", "voice", expected_limit=1, window_s=1, duration_s=1)


async def test_either_a_service_or_a_limiter_is_checked() -> None:
    with pytest.raises(SettingsError, match="either a service with its operation or call="):
        await tempogram.check_rate_limit("twilio", expected_limit=1, window_s=1, duration_s=1)
