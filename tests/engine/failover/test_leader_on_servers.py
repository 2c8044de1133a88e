"""Processes that share a real Redis and a real PostgreSQL, and lose the one or the other."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tempogram.bot.demo.process import free_port
from tempogram.engine.brokers.redis.keys import SCHEMA, prefix
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import SystemClock
from tempogram.engine.resilience.conditions import Condition
from tempogram.storage.processes.membership import membership
from tests.engine.failover.real_processes import PATIENCE_S, Process, Telegram, hurry, process, until
from tests.engine.redis_server import connected, own_redis, set_ahead
from tests.fakes import outgoing
from tests.storage.servers import own_postgres

pytestmark = pytest.mark.postgres

LONG_LEASE_MS = 60_000
"""No lease ends, however busy the machine is."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Tracebacks in colours, with every local, would take most of the time."""
    with capture_logs():
        yield


@pytest.fixture
def database_url() -> Iterator[str]:
    with own_postgres() as url:
        yield url


@pytest.fixture
def telegram() -> Telegram:
    return Telegram(SystemClock())


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch) -> Ids:
    hurry(monkeypatch)
    return Ids()


async def all_sent(telegram: Telegram, submitted: list[str], by: Process) -> None:
    """Wait until everything was sent, and the ledger knows of it."""
    await until(lambda: set(telegram.ids) >= set(submitted))
    async with asyncio.timeout(PATIENCE_S):
        while await by.ledger.open_ids(after_id="", limit=1):  # noqa: ASYNC110 - the ledger has no event
            await asyncio.sleep(0.01)


def without_slow_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it admit nothing: it would find within the patience of ``until`` what is to be found soon."""
    monkeypatch.setattr("tempogram.engine.recovery.reconciler.MISSING_MS", 600_000)


def leases_redis(*processes: Process) -> bool:
    return all(each.broker._epoch and each.broker._epoch.source == "redis" for each in processes)


async def test_the_leader_begins_the_queue_and_both_processes_send(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids
) -> None:
    with own_redis(tmp_path) as url:
        async with (
            process("a", url, database_url, telegram, lease_ms=LONG_LEASE_MS) as one,
            process("b", url, database_url, telegram, lease_ms=LONG_LEASE_MS) as other,
        ):
            submitted = await one.submit(ids, 400, chats=400) + await other.submit(ids, 400, chats=400)
            await all_sent(telegram, submitted, one)

            await until(lambda: [one.leader.is_leading, other.leader.is_leading].count(True) == 1)
            await until(lambda: not one.conditions.current and not other.conditions.current)
    assert sorted(telegram.ids) == sorted(submitted)
    assert telegram.overdue == 0


async def test_an_emptied_redis_is_rebuilt_under_load_and_nothing_that_ended_is_sent_again(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids
) -> None:
    with own_redis(tmp_path) as url:
        async with process("a", url, database_url, telegram) as one, process("b", url, database_url, telegram) as other:
            submitted = await one.submit(ids, 800, chats=400)
            await until(lambda: len(telegram.sent) > 100)
            async with Redis.from_url(url) as redis:
                await redis.flushall()
            submitted += await other.submit(ids, 100, chats=400)
            await all_sent(telegram, submitted, one)

            await until(lambda: not one.conditions.current and not other.conditions.current)
    assert len(telegram.ids) - len(submitted) <= 16  # what was in the hands of both


async def test_after_the_clock_of_redis_was_set_back_an_hour_sends_go_on_and_the_reason_is_shown(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids
) -> None:
    """Seven messages left, then none for an hour, and no condition held."""
    with own_redis(tmp_path) as url, capture_logs() as logs:
        async with process("a", url, database_url, telegram, limits=Limits()) as one:
            submitted = await one.submit(ids, 20)
            await all_sent(telegram, submitted, one)
            async with connected(url) as redis:
                await set_ahead(redis, 3_600_000)
            submitted += await one.submit(ids, 20)
            await all_sent(telegram, submitted, one)

            await until(lambda: not one.conditions.current)
    reasons = [each["reason"] for each in logs if each["event"] == "condition_began"]
    assert any("clock of Redis was set back by 3" in reason for reason in reasons)
    assert "redis_queue_lost" in [each["event"] for each in logs]


async def test_one_process_sends_for_all_while_redis_is_away_and_leases_come_from_redis_after(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids
) -> None:
    port = free_port()
    with own_redis(tmp_path, port=port) as url:
        async with process("a", url, database_url, telegram) as one, process("b", url, database_url, telegram) as other:
            submitted = await one.submit(ids, 20)
            await all_sent(telegram, submitted, one)
    url = f"redis://127.0.0.1:{port}/0"
    async with process("a", url, database_url, telegram) as one, process("b", url, database_url, telegram) as other:
        submitted += await one.submit(ids, 30) + await other.submit(ids, 30)
        await all_sent(telegram, submitted, one)
        await until(lambda: all(each.conditions.holds(Condition.ONE_SENDER) for each in (one, other)))
        assert len({name for name, _ in telegram.sent[20:]}) == 1

        submitted += await other.submit(ids, 30)
        with own_redis(tmp_path, port=port):
            await until(lambda: leases_redis(one, other))
            submitted += await one.submit(ids, 30) + await other.submit(ids, 30)
            await all_sent(telegram, submitted, one)
            await until(lambda: not one.conditions.current and not other.conditions.current)
            assert sorted(telegram.ids) == sorted(submitted)


async def test_another_process_sends_for_all_when_the_first_dies(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    async with process("a", url, database_url, telegram) as one, process("b", url, database_url, telegram) as other:
        await until(lambda: one.broker.memory or other.broker.memory)
        first, second = (one, other) if one.broker.memory else (other, one)
        submitted = await first.submit(ids, 20)
        await all_sent(telegram, submitted, one)

        await first.kill()
        submitted += await second.submit(ids, 20)
        await all_sent(telegram, submitted, second)

    assert sorted(telegram.ids) == sorted(submitted)
    assert {name for name, _ in telegram.sent[20:]} == {second.name}


async def test_the_next_leader_rebuilds_the_queue_when_the_first_dies(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids
) -> None:
    with own_redis(tmp_path) as url:
        async with process("a", url, database_url, telegram) as one, process("b", url, database_url, telegram) as other:
            await until(lambda: one.leader.is_leading or other.leader.is_leading)
            first, second = (one, other) if one.leader.is_leading else (other, one)
            await first.kill()
            async with Redis.from_url(url) as redis:
                await redis.flushall()
            submitted = await second.submit(ids, 20)
            await all_sent(telegram, submitted, one)

            await until(lambda: second.leader.is_leading)
    assert sorted(telegram.ids) == sorted(submitted)


async def test_a_leader_that_alone_cannot_reach_redis_lets_another_process_lead(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempogram.engine.failover.leader_election.AWAY_MS", 600_000)  # the other one starts meanwhile
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with own_redis(tmp_path) as url:
        async with process("a", nowhere, database_url, telegram) as cut:
            await until(lambda: cut.leader.is_leading)
            async with process("b", url, database_url, telegram) as other:
                await until(lambda: other.leader.is_leading)
                submitted = await other.submit(ids, 20)
                await all_sent(telegram, submitted, other)

                assert leases_redis(cut, other)
                await until(lambda: cut.conditions.current == [Condition.REDIS_AWAY])
    assert {name for name, _ in telegram.sent} == {"b"}


async def test_messages_that_a_dead_process_left_in_the_ledger_alone_are_sent_soon(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_slow_comparison(monkeypatch)
    number = 7
    with own_redis(tmp_path) as url:
        async with process("a", url, database_url, telegram) as one:
            catch_up = one.leader._catch_up
            async with membership(database_url, number):
                await until(lambda: number in catch_up._dead_processes._alive and catch_up._behind_after is None)
                left = outgoing(ids.new(SystemClock()()))
                await one.ledger.add([left])

            await all_sent(telegram, [left.id], one)
    assert telegram.ids == [left.id]


async def test_a_redis_restored_from_an_older_file_sends_nothing_again(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids
) -> None:
    port, folder, older = free_port(), tmp_path / "redis", tmp_path / "older"
    folder.mkdir()
    keeping = ("--appendonly", "yes", "--appendfsync", "always")
    with own_redis(folder, *keeping, port=port) as url:
        async with process("a", url, database_url, telegram, slots=2) as one:
            submitted = await one.submit(ids, 200, chats=200)
            await until(lambda: len(telegram.sent) > 10)
            shutil.copytree(folder, older)
            await all_sent(telegram, submitted, one)
    with own_redis(older, *keeping, port=port) as url:
        async with process("a", url, database_url, telegram) as one:
            submitted += await one.submit(ids, 20)
            await all_sent(telegram, submitted, one)

            await until(lambda: not one.conditions.current)
    assert sorted(telegram.ids) == sorted(submitted)


async def test_messages_accepted_during_a_short_outage_are_sent_soon(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_slow_comparison(monkeypatch)
    monkeypatch.setattr("tempogram.engine.failover.leader_election.AWAY_MS", 600_000)
    monkeypatch.setattr("tempogram.engine.brokers.redis.connection.REPLY_S", 0.3)
    with own_redis(tmp_path) as url:
        async with process("a", url, database_url, telegram) as one, Redis.from_url(url) as redis:
            submitted = await one.submit(ids, 20)
            await all_sent(telegram, submitted, one)
            server = (await redis.info("server"))["process_id"]
            os.kill(server, signal.SIGSTOP)
            try:
                submitted += await one.submit(ids, 20)
                assert one.conditions.holds(Condition.REDIS_AWAY)
            finally:
                os.kill(server, signal.SIGCONT)

            await all_sent(telegram, submitted, one)
            await until(lambda: not one.conditions.current)
    assert sorted(telegram.ids) == sorted(submitted)


async def test_two_versions_under_load_send_everything_and_never_both_at_once(
    tmp_path: Path, database_url: str, telegram: Telegram, ids: Ids
) -> None:
    with own_redis(tmp_path) as url:
        async with (
            process("old leader", url, database_url, telegram) as leader,
            process("old", url, database_url, telegram, may_lead=False) as old,
        ):
            submitted = await leader.submit(ids, 20)
            await all_sent(telegram, submitted, leader)
            async with process("new", url, database_url, telegram, schema=SCHEMA + 1) as new:
                submitted += await new.submit(ids, 20)
                await all_sent(telegram, submitted, leader)
                await until(lambda: new.conditions.current == [Condition.OTHER_VERSION])

                submitted += await leader.submit(ids, 800, chats=400)
                await until(lambda: len(telegram.sent) > 100)
                await leader.kill()
                submitted += await old.submit(ids, 20)
                await all_sent(telegram, submitted, old)

                submitted += await old.submit(ids, 20) + await new.submit(ids, 20)
                await all_sent(telegram, submitted, new)
                await until(lambda: not new.conditions.current)
                await until(lambda: old.conditions.current == [Condition.OTHER_VERSION])
                async with Redis.from_url(url) as redis:
                    assert not await redis.keys(f"{prefix(SCHEMA)}*")
    senders = [name for name, _ in telegram.sent]
    assert all(name.startswith("new") for name in senders[senders.index("new") :])
    assert len(telegram.ids) - len(submitted) <= 8  # what the leader had in hand when it died
