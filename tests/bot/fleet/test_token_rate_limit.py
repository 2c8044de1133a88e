"""Telegram limits how many new tokens it takes from one address."""

from __future__ import annotations

import pytest

from tempogram.bot.config.settings import Settings
from tempogram.bot.fleet.token_rate_limit import KNOWN_MAX, NEW_TOKENS, TokenRateLimit
from tempogram.bot.wiring.telegram import is_telegram
from tests.fakes import START_MS, Clock


class GetMe:
    """Notes after how many seconds each token got its slot, without waiting."""

    def __init__(self, **options: object) -> None:
        self.slept: list[float] = []
        self.clock = Clock()
        self.token_rate_limit = TokenRateLimit(clock=self.clock, sleep=self._sleep, **options)  # type: ignore[arg-type]

    async def after_s(self, token: str) -> float:
        self.slept.clear()
        await self.token_rate_limit.wait_for_slot(token)
        return (self.clock() - START_MS) / 1_000 + sum(self.slept)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_twenty_new_tokens_go_at_once_and_no_minute_has_more() -> None:
    get_me = GetMe()

    turns = [await get_me.after_s(f"{number}:token") for number in range(60)]

    assert turns == [0.0] * 20 + [60.0] * 20 + [120.0] * 20


async def test_no_hour_has_more_than_six_hundred() -> None:
    get_me = GetMe()

    turns = [await get_me.after_s(f"{number}:token") for number in range(601)]

    assert turns[599] == 29 * 60
    assert turns[600] == 3_600


async def test_a_token_needs_only_one_slot() -> None:
    get_me = GetMe()
    for number in range(20):
        await get_me.after_s(f"{number}:token")

    assert await get_me.after_s("7:token") == 0


async def test_a_slot_that_is_too_far_off_is_not_taken() -> None:
    get_me = GetMe()
    for number in range(20):
        await get_me.after_s(f"{number}:token")

    assert not await get_me.token_rate_limit.wait_for_slot("20:token", within_s=59)

    get_me.clock.advance(60_000)
    assert await get_me.token_rate_limit.wait_for_slot("20:token", within_s=0)


async def test_a_self_hosted_bot_api_server_takes_any_number_of_new_tokens() -> None:
    get_me = GetMe(windows=())

    turns = [await get_me.after_s(f"{number}:token") for number in range(1_000)]

    assert set(turns) == {0.0}


@pytest.mark.parametrize("windows", [(), NEW_TOKENS])
async def test_tokens_are_kept_as_hashes_and_not_without_end(windows: tuple[tuple[int, int], ...]) -> None:
    get_me = GetMe(windows=windows)
    for number in range(KNOWN_MAX + 5):
        await get_me.after_s(f"{number}:token")

    kept = get_me.token_rate_limit._known
    assert len(kept) <= KNOWN_MAX
    assert "7:token" not in repr(kept)


@pytest.mark.parametrize(
    ("url", "is_it"),
    [
        ("https://api.telegram.org", True),
        ("http://127.0.0.1:8081", False),
        ("https://api.telegram.org.example.com", False),
    ],
)
def test_only_telegram_itself_limits_new_tokens(url: str, *, is_it: bool) -> None:
    assert is_telegram(Settings(telegram_api_url=url)) is is_it
