from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tempogram.engine.model.selection import QuietHours, Rules, Selection
from tempogram.engine.ports.audience import Claim
from tempogram.engine.selection.campaign import Campaign
from tests.engine.selection.memory_audience import MemoryAudience, MemoryChat
from tests.fakes import Clock

HOUR_MS = 3_600_000
NOON_MS = 1_767_268_800_000
"""12:00 UTC on 2026-01-01."""

BOT = 1
SELECTION = Selection(bot_id=BOT)
RULES = Rules(campaign="weekly", default_zone="UTC")
NIGHT = QuietHours(from_minute=22 * 60, until_minute=8 * 60)


@dataclass
class World:
    """Some chats of a bot; each campaign is one process."""

    chats: int
    clock: Clock = field(default_factory=lambda: Clock(NOON_MS))

    def __post_init__(self) -> None:
        self.audience = MemoryAudience()
        self.audience.chats[BOT] = [MemoryChat(chat_id=chat_id) for chat_id in range(1, self.chats + 1)]

    def campaign(self, rules: Rules = RULES, *, portion: int = 2) -> Campaign:
        return Campaign(self.audience, SELECTION, rules, clock=self.clock, portion=portion)


def ids(claims: list[Claim]) -> list[object]:
    return [claim.recipient.chat_id for claim in claims]


async def submit_all(campaign: Campaign) -> list[Claim]:
    given = []
    async for claim in campaign.claims():
        await campaign.note(claim, f"message to {claim.recipient.chat_id}")
        given.append(claim)
    return given


async def first_of(portions: AsyncIterator[list[Claim]]) -> list[Claim]:
    return await anext(portions)


async def test_each_chat_is_given_once_on_a_date_and_again_on_the_next() -> None:
    world = World(chats=5)

    first = await submit_all(world.campaign())
    again = await submit_all(world.campaign())
    world.clock.advance(24 * HOUR_MS)
    next_day = await submit_all(world.campaign())

    assert (ids(first), again, ids(next_day)) == ([1, 2, 3, 4, 5], [], [1, 2, 3, 4, 5])


async def test_no_more_than_a_portion_is_claimed_ahead() -> None:
    world = World(chats=5)

    claimed = await first_of(world.campaign(portion=3).portions())

    assert ids(claimed) == [1, 2, 3]
    assert len(world.audience.claims) == 3


async def test_what_a_process_left_comes_first_in_the_next_one_under_the_same_key() -> None:
    world = World(chats=4)
    left = await first_of(world.campaign(portion=2).portions())

    given = await submit_all(world.campaign(portion=3))

    assert ids(given) == [1, 2, 3, 4]
    assert [each.dedup_key for each in given[:2]] == [each.dedup_key for each in left]


async def test_two_processes_share_the_chats() -> None:
    world = World(chats=6)
    one, other = world.campaign().portions(), world.campaign().selected(portion=2)

    shared = [await first_of(one), await first_of(other), await first_of(one)]

    assert sorted(chat_id for portion in shared for chat_id in map(int, map(str, ids(portion)))) == [1, 2, 3, 4, 5, 6]


async def test_a_message_that_was_refused_for_good_is_not_given_again() -> None:
    world = World(chats=1)
    campaign = world.campaign()
    (claim,) = await first_of(campaign.portions())
    await campaign.note(claim, "")

    assert await submit_all(world.campaign()) == []


async def test_a_chat_that_opts_out_before_its_claim_is_found_again_is_left_out() -> None:
    world = World(chats=2)
    await first_of(world.campaign().portions())
    world.audience.chats[BOT][0].is_opted_out = True

    assert ids(await submit_all(world.campaign())) == [2]


async def test_what_is_found_again_in_quiet_hours_goes_when_they_end_and_once() -> None:
    world = World(chats=1)
    nightly = Rules(campaign="weekly", default_zone="UTC", quiet_hours=NIGHT)
    (left,) = await first_of(world.campaign(nightly).portions())
    world.clock.advance(11 * HOUR_MS)

    given = await submit_all(world.campaign(nightly))
    again = await submit_all(world.campaign(nightly))

    assert [(each.recipient.local_date, each.recipient.not_before_ms) for each in given] == [
        ("2026-01-02", NOON_MS + 20 * HOUR_MS)
    ]
    assert (given[0].dedup_key, again) == (left.dedup_key, [])
