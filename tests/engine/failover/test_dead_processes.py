"""A process that dies leaves messages that only the ledger has; the leader finds them within seconds."""

from __future__ import annotations

import pytest

from tempogram.engine.failover.catch_up import LEFT_MS
from tempogram.engine.failover.dead_processes import CHECK_MS
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Outgoing
from tempogram.engine.ports import WaitsAt
from tempogram.engine.recovery.reconciler import CATCH_UP_MS, MISSING_MS
from tests.engine.failover.fake_processes import FakeProcess, World
from tests.fakes import outgoing

STEP_MS = 500
SOON_MS = CHECK_MS + CATCH_UP_MS + 2 * STEP_MS


@pytest.fixture
async def one(world: World) -> FakeProcess:
    one = FakeProcess(world, "one")
    await one.steps(for_ms=3_000)
    return one


@pytest.fixture
async def other(world: World, one: FakeProcess) -> FakeProcess:
    other = FakeProcess(world, "other")
    await one.steps(other, for_ms=3_000)
    return other


async def accepted_alone(process: FakeProcess, ids: Ids) -> Outgoing:
    """Have a process accept a message while it misses Redis."""
    process.world.cut_from_redis.add(process.name)
    message = outgoing(ids.new(process.world.clock()))
    await process.accept(message)
    return message


async def test_messages_that_a_dead_process_had_not_admitted_are_admitted_within_seconds(
    one: FakeProcess, other: FakeProcess
) -> None:
    ids = Ids()
    message = await accepted_alone(other, ids)
    await one.steps(for_ms=MISSING_MS // 2)
    unknown = await one.broker.knows([message.id])
    other.die()

    await one.steps(for_ms=SOON_MS)

    assert (unknown, await one.broker.knows([message.id])) == ([False], [True])


async def test_messages_that_a_dead_leader_had_not_admitted_are_admitted_by_the_next(
    one: FakeProcess, other: FakeProcess
) -> None:
    ids = Ids()
    message = await accepted_alone(one, ids)
    one.die()

    await other.steps(for_ms=SOON_MS)

    assert await other.broker.knows([message.id]) == [True]


async def test_after_a_death_only_recent_messages_are_read(
    world: World, one: FakeProcess, other: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_from, open_ids = list[str](), world.ledger.open_ids
    await one.accept(outgoing(Ids().new(world.clock() - 2 * LEFT_MS)))

    async def noted(*, after_id: str, limit: int) -> list[str]:
        read_from.append(after_id)
        return await open_ids(after_id=after_id, limit=limit)

    await one.steps(for_ms=CATCH_UP_MS)
    monkeypatch.setattr(world.ledger, "open_ids", noted)
    for name in ("RECONCILE_MS", "RECONCILED_MS"):
        monkeypatch.setattr(f"tempogram.engine.failover.catch_up.{name}", 10 * MISSING_MS)
    other.die()
    await one.steps(for_ms=SOON_MS)

    assert read_from
    assert all(Ids().new(world.clock() - 2 * LEFT_MS) < each for each in read_from)


async def test_a_pause_that_a_dead_process_had_not_applied_is_applied_within_seconds(
    world: World, one: FakeProcess, other: FakeProcess
) -> None:
    await one.accept(outgoing(Ids().new(world.clock()), bot_id=1))
    await world.ledger.pause(1, paused=True)
    await one.steps(for_ms=CHECK_MS)
    as_before = await one.broker.explain(next(iter(world.ledger.messages)))
    other.die()

    await one.steps(for_ms=SOON_MS)

    paused = await one.broker.explain(next(iter(world.ledger.messages)))
    assert [each and each.waits_at for each in (as_before, paused)] == [WaitsAt.TURN, WaitsAt.BOT_PAUSED]


async def test_live_processes_are_read_no_more_often_than_needed(world: World, one: FakeProcess) -> None:
    looks = world.checks_for_deaths

    await one.steps(for_ms=10 * CHECK_MS, every_ms=100)

    assert world.checks_for_deaths - looks == 10


async def test_messages_of_a_process_that_lived_between_two_checks_are_found_by_the_slow_comparison(
    world: World, one: FakeProcess
) -> None:
    """It is known to none; the slow comparison finds what it left."""
    ids = Ids()
    message = await accepted_alone(FakeProcess(world, "short"), ids)
    world.alive -= {max(world.alive)}

    await one.steps(for_ms=SOON_MS)
    soon = await one.broker.knows([message.id])
    await one.steps(for_ms=2 * MISSING_MS)

    assert (soon, await one.broker.knows([message.id])) == ([False], [True])
