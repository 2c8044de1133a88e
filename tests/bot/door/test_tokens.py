"""Which bots may use the door: those that run here, and each whose token Telegram confirms."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from tempogram.api.core.errors import NotFound
from tempogram.api.core.ports import Crowded, Refusal, TelegramUnreachable, UnknownToken
from tempogram.bot.door.tokens import REFUSED_MAX, REFUSED_MS, Tokens
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.token_rate_limit import TokenRateLimit
from tempogram.simulator import Fault
from tempogram.storage.bots import Source
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.fleet_world import OTHER, World


def tokens_of(world: World, fleet: Fleet, *windows: tuple[int, int]) -> Tokens:
    return Tokens(fleet, rate_limit=TokenRateLimit(clock=world.clock, windows=windows), clock=world.clock)


async def test_a_bot_that_runs_here_is_known_without_a_call(world: World, fleet: Fleet) -> None:
    before = world.calls("getMe")

    assert await tokens_of(world, fleet).bot_of(TOKEN) == BOT_ID
    assert world.calls("getMe") == before


async def test_a_new_token_is_confirmed_once_and_sends_from_then_on(world: World) -> None:
    fleet = world.new_fleet(Source.POLLING)
    tokens = tokens_of(world, fleet)

    found = await asyncio.gather(*(tokens.bot_of(TOKEN) for _ in range(5)))

    assert set(found) == {BOT_ID}
    assert world.calls("getMe") == 1
    assert fleet.registry.token_of(BOT_ID) == TOKEN
    assert (await world.restarted(Source.POLLING)).registry.token_of(BOT_ID) == TOKEN


async def test_a_bot_that_came_by_the_door_keeps_its_updates_where_they_are(world: World) -> None:
    fleet = world.new_fleet(Source.POLLING)
    await tokens_of(world, fleet).bot_of(TOKEN)

    assert not fleet.registry.gets_updates(BOT_ID)
    assert not (await world.restarted(Source.POLLING)).registry.gets_updates(BOT_ID)


async def test_a_new_token_of_a_bot_that_runs_here_replaces_its_old_one(world: World, fleet: Fleet) -> None:
    world.simulator.add_bot("42:a-new-token", "the_bot")

    assert await tokens_of(world, fleet).bot_of("42:a-new-token") == BOT_ID
    assert fleet.authenticate(TOKEN) is None
    assert fleet.registry.registered(BOT_ID).behaviours == {"echo": {}}


async def test_a_token_that_telegram_refuses_is_asked_about_once_a_minute(world: World, fleet: Fleet) -> None:
    tokens, before = tokens_of(world, fleet), world.calls("getMe")

    for _ in range(3):
        with pytest.raises(UnknownToken):
            await tokens.bot_of(OTHER)
    once = world.calls("getMe")
    world.clock.advance(REFUSED_MS)
    with pytest.raises(UnknownToken):
        await tokens.bot_of(OTHER)

    assert (once, world.calls("getMe")) == (before + 1, before + 2)
    assert fleet.registry.bot_ids == [BOT_ID]


async def test_another_token_of_a_known_bot_that_telegram_refuses_changes_nothing(world: World, fleet: Fleet) -> None:
    with pytest.raises(UnknownToken):
        await tokens_of(world, fleet).bot_of(f"{BOT_ID}:wrong-token")

    assert fleet.authenticate(TOKEN) == BOT_ID


@pytest.mark.parametrize("text", ["", "42", "42:", ":abc", "42:with space", "42:ü", "x42:abc"])
async def test_what_is_no_token_is_not_found_without_a_call(world: World, fleet: Fleet, text: str) -> None:
    before = world.calls("getMe")

    with pytest.raises(NotFound):
        await tokens_of(world, fleet).bot_of(text)

    assert world.calls("getMe") == before


async def test_no_more_new_tokens_are_asked_about_than_may(world: World, fleet: Fleet) -> None:
    tokens, before = tokens_of(world, fleet, (2, 60_000)), world.calls("getMe")
    for number in (50, 51):
        with pytest.raises(UnknownToken):
            await tokens.bot_of(f"{number}:some-token")

    with pytest.raises(Crowded) as crowded:
        await tokens.bot_of("52:some-token")

    assert crowded.value.retry_after_s == 60
    assert world.calls("getMe") == before + 2


async def test_a_telegram_that_does_not_answer_says_nothing_of_a_token(world: World, fleet: Fleet) -> None:
    tokens = tokens_of(world, fleet)
    world.simulator.add_bot(OTHER, "other_bot")
    world.simulator.order(Fault(kind="5xx", method="*", times=1))

    with pytest.raises(TelegramUnreachable):
        await tokens.bot_of(OTHER)

    assert await tokens.bot_of(OTHER) == 43


async def test_a_bot_that_was_removed_is_not_brought_back(world: World, fleet: Fleet) -> None:
    await fleet.remove(BOT_ID, keep_messages=False)

    with pytest.raises(Refusal, match="bot 42 was removed; add it again with POST /bots"):
        await tokens_of(world, fleet).bot_of(TOKEN)


async def test_refused_tokens_are_kept_as_hashes_and_not_without_end(world: World, fleet: Fleet) -> None:
    tokens = tokens_of(world, fleet)
    for number in range(REFUSED_MAX + 5):
        tokens._remember_refused(sha256(str(number).encode()).digest())

    with pytest.raises(UnknownToken):
        await tokens.bot_of(OTHER)

    assert len(tokens._refused_until_ms) == REFUSED_MAX
    assert OTHER not in repr(tokens.__dict__)
