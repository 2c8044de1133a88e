"""Processes of two versions side by side: those of one form send, and what the others accept is sent by them."""

from __future__ import annotations

from itertools import count

import pytest
from structlog.testing import capture_logs

from tempogram.engine.brokers.redis.keys import SCHEMA
from tempogram.engine.failover.epoch_watcher import WATCH_S
from tempogram.engine.failover.standalone_mode import BACK_MS, MARGIN_MS
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import NO_SCHEMA, Source
from tempogram.engine.resilience.conditions import Condition
from tests.engine.failover.several import LEASE_MS, FakeProcess, World
from tests.fakes import outgoing

SILENCE_MS = LEASE_MS + round(WATCH_S * 1_000) + MARGIN_MS
STEP_MS = 500
SOON_MS = 3_000

ids, chats = Ids(), count(1)


@pytest.fixture
def old(world: World) -> FakeProcess:
    return FakeProcess(world, "old")


@pytest.fixture
def new(world: World) -> FakeProcess:
    return FakeProcess(world, "new", schema=SCHEMA + 1)


async def accept(*processes: FakeProcess) -> list[str]:
    """Have each accept one message, and return their ids."""
    accepted = []
    for each in processes:
        accepted.append(ids.new(each.world.clock()))
        await each.accept(outgoing(accepted[-1], chat_id=next(chats)))
    return accepted


async def old_keeps(old: FakeProcess, new: FakeProcess) -> None:
    await old.step()
    await old.steps(new, for_ms=SILENCE_MS)
    assert old.leader.is_leading


async def new_keeps(old: FakeProcess, new: FakeProcess) -> None:
    """Let the old one leave the lead for a moment, until the new one has replaced its schedule."""
    await old_keeps(old, new)
    old.world.leader = "new"
    await new.steps(old, for_ms=SILENCE_MS + BACK_MS + SOON_MS)
    assert (new.world.source, new.world.schema) == (Source.REDIS, SCHEMA + 1)


async def test_the_first_who_leads_begins_the_first_epoch_without_waiting(world: World, new: FakeProcess) -> None:
    world.schema = NO_SCHEMA

    await new.step()

    assert (world.number, world.source, world.schema) == (1, Source.REDIS, new.redis.schema)
    submitted = await accept(new)
    assert await new.ids() == submitted


async def test_a_schedule_from_before_the_first_epoch_is_begun_anew(world: World, old: FakeProcess) -> None:
    await old.step()
    before = world.redis
    world.schema = NO_SCHEMA

    await old.step()

    assert world.redis is not before
    assert world.schema == SCHEMA


async def test_beside_an_older_version_that_leads_a_newer_one_only_takes_in(old: FakeProcess, new: FakeProcess) -> None:
    await old_keeps(old, new)

    submitted = await accept(new, old)
    await old.steps(new, for_ms=SOON_MS)

    assert await new.ids() == []
    assert set(await old.ids()) == set(submitted)
    assert new.conditions.current == [Condition.OTHER_VERSION]


async def test_beside_a_newer_version_that_leads_an_older_one_only_takes_in(old: FakeProcess, new: FakeProcess) -> None:
    await new_keeps(old, new)

    submitted = await accept(old, new)
    await new.steps(old, for_ms=SOON_MS)

    assert await old.ids() == []
    assert set(await new.ids()) == set(submitted)
    assert (old.conditions.current, new.conditions.current) == ([Condition.OTHER_VERSION], [])


async def test_what_was_written_by_one_that_has_gone_since_is_taken_in(old: FakeProcess, new: FakeProcess) -> None:
    await new_keeps(old, new)
    await new.steps(old, for_ms=SOON_MS)

    submitted = await accept(old)
    await new.steps(for_ms=SOON_MS)

    assert await new.ids() == submitted


async def test_who_leads_with_a_newer_form_leases_nothing_before_the_older_leases_have_ended(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    await old_keeps(old, new)
    submitted = await accept(old, old, new)
    (held,) = await old.lease(1)
    world.leader = "new"
    await new.step()
    assert await old.ids() != []  # it has not read it yet
    ends_at_ms = world.clock() + LEASE_MS

    while SCHEMA + 1 not in world.schedules:
        assert await new.ids() == []
        await new.steps(old, for_ms=STEP_MS)
        assert await old.ids() == []

    assert world.clock() > ends_at_ms >= held.expires_at_ms
    await new.steps(old, for_ms=SOON_MS)
    assert set(await new.ids()) == set(submitted)
    assert set(world.schedules) == {SCHEMA + 1}


async def test_an_older_one_leaves_the_lead_of_a_newer_one_for_good_and_says_so_once(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    await new_keeps(old, new)
    await new.leadership.resign()

    with capture_logs() as logs:
        await old.steps(for_ms=10_000)

    assert (world.leader, world.schema) == ("", SCHEMA + 1)
    assert [each["event"] for each in logs].count("leadership_abandoned") == 1


async def test_a_newer_one_that_dies_at_any_point_is_followed_by_a_newer_one_alone(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    await old_keeps(old, new)
    submitted = await accept(old, new)
    world.leader = "new"
    await new.step()

    world.leader = ""
    await old.steps(for_ms=SOON_MS)
    next_one = FakeProcess(world, "next", schema=SCHEMA + 1)
    await next_one.steps(old, for_ms=SILENCE_MS + BACK_MS + SOON_MS)

    assert await old.ids() == []
    assert set(await next_one.ids()) == set(submitted)


async def test_a_newer_one_stands_in_for_a_redis_that_is_away_when_it_takes_over(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    await old_keeps(old, new)
    world.cut_from_redis = {"old", "new"}
    world.leader = "new"
    submitted = await accept(old, new)

    await new.steps(old, for_ms=SILENCE_MS + SOON_MS)

    assert set(await new.ids()) == set(submitted)
    assert new.broker.memory is not None


async def test_after_the_row_is_set_back_an_older_version_goes_on(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    """As docs/operations.md says under "Back to the version before"."""
    await new_keeps(old, new)
    submitted = await accept(new)
    world.leader = ""
    world.number, world.source, world.schema, world.begun_by = world.number + 1, Source.KEEPER, NO_SCHEMA, ""

    again = FakeProcess(world, "again")
    await again.steps(for_ms=SILENCE_MS + BACK_MS + SOON_MS)

    assert await again.ids() == submitted
    assert (world.source, world.schema) == (Source.REDIS, SCHEMA)
