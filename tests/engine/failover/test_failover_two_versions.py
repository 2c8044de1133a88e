"""Processes of two versions side by side: those of one schema send, also what the others accept."""

from __future__ import annotations

from itertools import count

import pytest
from structlog.testing import capture_logs

from tempogram.engine.brokers.redis.keys import SCHEMA
from tempogram.engine.failover.epoch_watcher import WATCH_S
from tempogram.engine.failover.standalone_mode import BACK_MS, MARGIN_MS
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import NO_SCHEMA, LeaseSource
from tempogram.engine.resilience.conditions import Condition
from tests.engine.failover.fake_processes import LEASE_MS, FakeProcess, World
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
    """Let the old one leave the lead for a moment, until the new one has replaced its queue."""
    await old_keeps(old, new)
    old.world.leader = "new"
    await new.steps(old, for_ms=SILENCE_MS + BACK_MS + SOON_MS)
    assert (new.world.source, new.world.schema) == (LeaseSource.REDIS, SCHEMA + 1)


async def test_the_first_leader_of_all_begins_the_first_epoch_at_once(world: World, new: FakeProcess) -> None:
    world.schema = NO_SCHEMA

    await new.step()

    assert (world.number, world.source, world.schema) == (1, LeaseSource.REDIS, new.redis.schema)
    submitted = await accept(new)
    assert await new.ids() == submitted


async def test_a_queue_from_before_the_first_epoch_is_begun_anew(world: World, old: FakeProcess) -> None:
    await old.step()
    before = world.redis
    world.schema = NO_SCHEMA

    await old.step()

    assert world.redis is not before
    assert world.schema == SCHEMA


async def test_beside_an_older_leader_a_newer_process_only_writes_to_the_ledger(
    old: FakeProcess, new: FakeProcess
) -> None:
    await old_keeps(old, new)

    submitted = await accept(new, old)
    await old.steps(new, for_ms=SOON_MS)

    assert await new.ids() == []
    assert set(await old.ids()) == set(submitted)
    assert new.conditions.current == [Condition.OTHER_VERSION]


async def test_beside_a_newer_leader_an_older_process_only_writes_to_the_ledger(
    old: FakeProcess, new: FakeProcess
) -> None:
    await new_keeps(old, new)

    submitted = await accept(old, new)
    await new.steps(old, for_ms=SOON_MS)

    assert await old.ids() == []
    assert set(await new.ids()) == set(submitted)
    assert (old.conditions.current, new.conditions.current) == ([Condition.OTHER_VERSION], [])


async def test_messages_of_a_bypassed_process_that_has_gone_are_admitted(old: FakeProcess, new: FakeProcess) -> None:
    await new_keeps(old, new)
    await new.steps(old, for_ms=SOON_MS)

    submitted = await accept(old)
    await new.steps(for_ms=SOON_MS)

    assert await new.ids() == submitted


async def test_a_leader_with_a_newer_schema_leases_nothing_before_the_older_leases_have_ended(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    await old_keeps(old, new)
    submitted = await accept(old, old, new)
    (held,) = await old.lease(1)
    world.leader = "new"
    await new.step()
    assert await old.ids() != []  # it has not read it yet
    ends_at_ms = world.clock() + LEASE_MS

    while SCHEMA + 1 not in world.queues:
        assert await new.ids() == []
        await new.steps(old, for_ms=STEP_MS)
        assert await old.ids() == []

    assert world.clock() > ends_at_ms >= held.expires_at_ms
    await new.steps(old, for_ms=SOON_MS)
    assert set(await new.ids()) == set(submitted)
    assert set(world.queues) == {SCHEMA + 1}


async def test_an_older_process_abandons_the_leadership_once_for_good(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    await new_keeps(old, new)
    await new.leadership.resign()

    with capture_logs() as logs:
        await old.steps(for_ms=10_000)

    assert (world.leader, world.schema) == ("", SCHEMA + 1)
    assert [each["event"] for each in logs].count("leadership_abandoned") == 1


async def test_a_newer_leader_that_dies_is_followed_by_a_newer_process_alone(
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


async def test_a_newer_process_that_takes_over_while_redis_is_away_sends_from_memory(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    await old_keeps(old, new)
    world.cut_from_redis = {"old", "new"}
    world.leader = "new"
    submitted = await accept(old, new)

    await new.steps(old, for_ms=SILENCE_MS + SOON_MS)

    assert set(await new.ids()) == set(submitted)
    assert new.broker.memory is not None


async def test_an_older_version_goes_on_after_the_epochs_row_is_set_back(
    world: World, old: FakeProcess, new: FakeProcess
) -> None:
    """As docs/operations.md says under "Back to the version before"."""
    await new_keeps(old, new)
    submitted = await accept(new)
    world.leader = ""
    world.number, world.source, world.schema, world.begun_by = world.number + 1, LeaseSource.LEADER, NO_SCHEMA, ""

    again = FakeProcess(world, "again")
    await again.steps(for_ms=SILENCE_MS + BACK_MS + SOON_MS)

    assert await again.ids() == submitted
    assert (world.source, world.schema) == (LeaseSource.REDIS, SCHEMA)
