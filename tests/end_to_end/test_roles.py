"""One API, two workers and a scheduler over one Redis and one PostgreSQL keep every promise together."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from tempogram.engine.brokers.redis.wakeup import HEARTBEAT_S as BELL_S
from tempogram.engine.channels.redis_channel import HEARTBEAT_S
from tempogram.engine.failover.leader import PROBE_S
from tempogram.engine.recovery.reconciler import RECONCILE_MS
from tempogram.simulator.limits.faults import Fault
from tests import ROOT
from tests.chaos.processes import SupervisedProcess
from tests.chaos.servers import missing_programs
from tests.end_to_end.documented import Shell, commands_in
from tests.end_to_end.several import CEILING, CONNECTIONS, LEASE_S, Several, end, several

ROLES = ("api", "worker", "worker", "scheduler")
BOTS = (1, 2, 3, 4)
TOKENS = [f"{bot_id}:token-of-bot-{bot_id}" for bot_id in BOTS]
NEWCOMER, NEW_TOKEN = 5, "5:token-of-a-newcomer"
ENDLESS = 30
"""More warnings or errors of one event than these tests can cause."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Several]:
    missing = missing_programs()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"NO {' AND NO '.join(missing)}: many processes are not tested")
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}")
    async with several(tmp_path_factory.mktemp("roles"), ROLES, TOKENS) as running:
        yield running


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="NO redis-cli: the commands for a look are not tested")
async def test_the_commands_for_a_look_into_redis_are_of_the_kind_that_their_keys_have(fleet: Several) -> None:
    document = (ROOT / "docs" / "operations.md").read_text()
    commands = [command.text for command in commands_in(document) if command.text.startswith("redis-cli ")]

    async with Shell(fleet.folder, {}) as shell:
        printed = [
            await shell.run(text.replace("redis-cli", f"redis-cli -p {fleet.redis.port}", 1)) for text in commands
        ]

    assert len(printed) >= 6
    assert [said for said in printed if "ERR" in said or "WRONGTYPE" in said or "refused" in said] == []


async def test_idle_processes_send_redis_only_heartbeats(fleet: Several) -> None:
    """The bound is derived from the constants; the leader's probe is two thirds of it."""
    processes, workers, seconds = len(ROLES), 2, 10.0
    beats = {
        "the leader's probe, one script": (PROBE_S, 1),
        "the leader's comparison, of which there is nothing": (RECONCILE_MS / 1_000, 0),
        "a worker's look for lost leases, one script": (LEASE_S / 2, workers),
        "a worker's bell: a wait, and one script before it": (BELL_S, 2 * workers),
        "a process's news: a wait, and a look at its position": (HEARTBEAT_S, 2 * processes),
        "a process's answers: a ping": (HEARTBEAT_S, processes),
    }
    a_minute = sum(60 / every_s * commands for every_s, commands in beats.values())

    heard = await commands_within(fleet, seconds)
    for _ in range(2):
        if heard["HELLO"]:  # a connection was made anew, after what the tests before did to it: that is not idling
            heard = await commands_within(fleet, seconds)

    assert a_minute <= 125  # 70 with the lease that is the default
    assert sum(heard.values()) <= sum(
        math.ceil(seconds / every_s) * commands for every_s, commands in beats.values()
    ), heard


async def commands_within(fleet: Several, seconds: float) -> Counter[str]:
    """Count the commands of clients; commands within a script count as that script."""
    heard: Counter[str] = Counter()
    async with fleet.client.monitor() as monitor:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for said in monitor.listen():
                    if said["client_type"] != "lua":
                        heard[said["command"].split()[0]] += 1
    return heard


async def test_two_workers_send_and_keep_every_limit_together(fleet: Several) -> None:
    before = [await fleet.sent_by(worker) for worker in fleet.all_of("worker")]
    chats = [*range(100, 130), *range(-1_004, -1_000)]
    texts = {f"limit {bot_id} {chat_id} {number}" for bot_id in BOTS[:3] for chat_id in chats for number in range(3)}

    await fleet.submit(*({"bot": text.split()[1], "chat_id": int(text.split()[2]), "text": text} for text in texts))
    sent = await fleet.until_sent("limit ", len(texts), within_s=40)

    assert sorted(sent) == sorted(texts)
    assert await fleet.broke_nothing()
    assert (await fleet.telegram.report()).busiest_total.places <= CEILING
    after = [await fleet.sent_by(worker) for worker in fleet.all_of("worker")]
    assert all(now > then for now, then in zip(after, before, strict=True))


async def test_an_awaited_call_that_another_process_makes_returns_its_message_id(fleet: Several) -> None:
    person = await fleet.telegram.add_user("Ada")
    await fleet.telegram.say(person, "number by poll", bot=1)
    await fleet.tell(TOKENS[1], "number by webhook", chat_id=201)

    for how in ("poll", "webhook"):
        (answer,) = await fleet.until_sent(f"number by {how} was answered by", 1)
        (heard,) = await fleet.sent(f"heard number by {how}")
        assert answer == f"number by {how} was answered by {heard['message_id']}"
    assert [await fleet.sent_by(member) for member in (fleet.api, *fleet.all_of("scheduler"))] == [0, 0]


async def test_an_added_bot_sends_and_polls_until_it_is_removed(fleet: Several) -> None:
    person = await fleet.telegram.add_user("Bo")
    status, _ = await fleet.ask("POST", "/bots", {"token": NEW_TOKEN})
    await fleet.telegram.say(person, "number of a newcomer", bot=NEWCOMER)
    await fleet.submit(*({"bot": str(NEWCOMER), "chat_id": 300 + each, "text": f"new {each}"} for each in range(10)))
    await fleet.until_sent("new ", 10)
    await fleet.until_sent("number of a newcomer was answered", 1)

    removed, _ = await fleet.ask("DELETE", f"/bots/{NEWCOMER}")
    await fleet.until(lambda: is_left_alone(fleet, person))
    gone, _ = await fleet.ask("GET", f"/bots/{NEWCOMER}")
    unheard, _ = await fleet.ask("POST", f"/webhook/telegram/{NEW_TOKEN}", {"update_id": 1})
    await fleet.until(lambda: is_removed_completely(fleet))

    assert (status, removed, gone, unheard) == (201, 200, 404, 404)


async def is_removed_completely(fleet: Several) -> bool:
    """Ask for the removal again: as long as it goes on, that is no mistake."""
    status, _ = await fleet.ask("DELETE", f"/bots/{NEWCOMER}")
    return bool(status == 404)


async def is_left_alone(fleet: Several, person: int) -> bool:
    """Tell whether a message to the removed bot stays at Telegram while another bot is polled."""
    word = f"number {next(fleet.numbers)}"
    await fleet.telegram.say(person, word, bot=NEWCOMER)
    await fleet.telegram.say(person, word, bot=1)
    await fleet.until_sent(f"heard {word}", 1)
    heard = await fleet.sent(f"heard {word}")
    pending = {bot["bot_id"]: bot["updates_pending"] for bot in await fleet.telegram.call("GET", "bots")}
    return pending[NEWCOMER] > 0 and {call["bot_id"] for call in heard} == {1}


async def test_a_paused_bot_sends_nothing_until_it_is_resumed(fleet: Several) -> None:
    await fleet.submit(*({"bot": "2", "chat_id": 400, "text": f"pause {each}"} for each in range(8)))
    await fleet.until_sent("pause ", 2)
    await fleet.ask("PATCH", "/bots/2", {"paused": True})
    await fleet.until(lambda: nothing_is_leased(fleet))
    before = await fleet.texts("pause ")
    # A chat of another bot has the same pace: once it has this many, the paused one would have had as many.
    await fleet.submit(*({"bot": "3", "chat_id": 400, "text": f"meanwhile {each}"} for each in range(5)))
    await fleet.until_sent("meanwhile ", 5)
    paused = await fleet.texts("pause ")
    await fleet.ask("PATCH", "/bots/2", {"paused": False})
    resumed = await fleet.until_sent("pause ", 8)

    assert paused == before
    assert len(before) < 8
    assert resumed == [f"pause {each}" for each in range(8)]


async def test_changed_weights_and_limits_apply_to_all_processes_while_they_send(fleet: Several) -> None:
    ceiling, weight = 10, 4
    await fleet.ask("PATCH", "/bots/4", {"weight": weight})
    status, limits = await fleet.ask("PATCH", "/limits", {"ceiling": {"count": ceiling}})
    for bot_id in (3, 4):
        await fleet.submit(
            *({"bot": str(bot_id), "chat_id": 500 + each, "text": f"weigh {bot_id} {each}"} for each in range(50))
        )
    sent = await fleet.until_sent("weigh ", 50)
    at_ms = [call["at_ms"] for call in await fleet.sent("weigh ")]
    back, _ = await fleet.ask("DELETE", "/limits")
    await fleet.until_sent("weigh ", 100)
    await fleet.ask("PATCH", "/bots/4", {"weight": 1})

    shares = Counter(text.split()[1] for text in sent[ceiling:50])
    assert (status, limits["ceiling"]["count"], back) == (200, ceiling, 200)
    assert shares["4"] / shares["3"] == pytest.approx(weight, rel=0.5)
    assert all(later - earlier >= 1_000 for earlier, later in zip(at_ms[:40], at_ms[ceiling:50], strict=True))


async def test_a_chat_that_blocked_a_bot_is_refused_by_the_api_until_it_writes_again(fleet: Several) -> None:
    message = {"bot": "3", "chat_id": 600, "text": "blocked or not"}
    await fleet.telegram.order(Fault(kind="blocked", bot_id=3, chat_id=600, times=1))
    await fleet.submit(*(message | {"text": f"given up {number}"} for number in range(200)))
    await fleet.until(lambda: is_refused(fleet, message))
    await fleet.tell(TOKENS[2], "number of one who is back", chat_id=600)
    await fleet.until_sent("heard number of one who is back", 1)  # while what waited is still being given up
    again, _ = await fleet.ask("POST", "/messages", message)

    assert again == 202
    assert len(await fleet.sent("given up")) < 10
    await fleet.until_sent("blocked or not", 1)


async def is_refused(fleet: Several, message: dict[str, Any]) -> bool:
    status, answer = await fleet.ask("POST", "/messages", message | {"text": "refused"})
    return status == 409 and answer["error"]["code"] == "chat_unreachable"


async def test_a_worker_serves_its_health_and_metrics_and_nothing_else(fleet: Several) -> None:
    worker, _ = fleet.all_of("worker")

    health = await fleet.ask("GET", "/health", of=worker)
    _, numbers = await fleet.ask("GET", "/metrics?format=json", of=worker)
    submitted, _ = await fleet.ask("POST", "/messages", {"bot": "1", "chat_id": 1, "text": "to a worker"}, of=worker)

    assert health == (200, {"status": "up", "conditions": []})
    assert numbers['telegram_condition{condition="redis_away"}'] == 0
    assert submitted == 404


async def test_every_process_shows_the_tasks_and_the_loops_of_all(fleet: Several) -> None:
    for member in (fleet.api, *fleet.all_of("worker"), *fleet.all_of("scheduler")):
        await fleet.until(partial(shows_every_loop, fleet, member))

    _, of_api = await fleet.ask("GET", "/health/cron", of=fleet.api)
    _, of_worker = await fleet.ask("GET", "/health/cron", of=fleet.all_of("worker")[0])
    assert of_api["x_api_status"]["tweetLookup"] == {"tokens": 15, "capacity": 15}
    assert of_worker["limits"] is None, "a worker calls no service"


async def shows_every_loop(fleet: Several, member: SupervisedProcess) -> bool:
    status, health = await fleet.ask("GET", "/health/cron", of=member)
    loops = Counter(each["service"].partition("@")[0] for each in health["services"])
    return bool(
        status == 200
        and health["stalled_services"] == []
        and (loops["cache_invalidation"], loops["recoverer"], loops["scheduler"]) == (4, 2, 1)
        and any(each["service"] == "tempogram.retention" and each["status"] == "HEALTHY" for each in health["services"])
    )


async def test_a_run_that_is_asked_for_at_the_api_is_done_by_the_scheduler(fleet: Several) -> None:
    _, before = await fleet.ask("GET", "/tasks/tempogram.retention")
    status, _ = await fleet.ask("POST", "/tasks/tempogram.retention/run")

    async def has_run() -> bool:
        _, after = await fleet.ask("GET", "/tasks/tempogram.retention")
        return bool(after["counts"]["runs"] > before["counts"]["runs"])

    assert status == 202
    await fleet.until(has_run)
    (scheduler,) = fleet.all_of("scheduler")
    _, numbers = await fleet.ask("GET", "/metrics?format=json", of=scheduler)
    assert numbers['task_runs_total{result="done",task="tempogram.retention"}'] >= 2


async def test_the_api_shows_the_sum_of_what_all_processes_counted_and_each_its_own_at_its_port(fleet: Several) -> None:
    await fleet.telegram.order(Fault(kind="5xx", bot_id=4, chat_id=700, times=2))

    await fleet.submit({"bot": "4", "chat_id": 700, "text": "server error"})
    await fleet.until_sent("server error", 1)

    await fleet.until(partial(shows_the_sum, fleet))


async def shows_the_sum(fleet: Several) -> bool:
    counted = []
    for member in (fleet.api, *fleet.all_of("worker"), *fleet.all_of("scheduler")):
        _, numbers = await fleet.ask("GET", "/metrics?format=json", of=member)
        counted.append(numbers["telegram_5xx_count"])
    return bool(counted[0] == sum(counted[1:]) == 2)


async def test_each_process_reports_an_unreachable_redis_and_no_message_is_lost(fleet: Several) -> None:
    texts = [f"missed {number}" for number in range(100)]
    await fleet.submit(*({"bot": "1", "chat_id": 1_100 + each, "text": text} for each, text in enumerate(texts)))
    await fleet.until_sent("missed ", 5)
    cut_off = [member for member in fleet.fleet.members if member is not fleet.all_of("worker")[1]]
    for member in cut_off:
        member.redis.break_off()
    for member in cut_off:
        await fleet.until(partial(has_condition, fleet, member))
    for member in cut_off:
        member.redis.mend()
    for member in cut_off:
        await fleet.until(partial(has_no_condition, fleet, member))
    sent = await fleet.until_sent("missed ", len(texts))

    assert set(sent) == set(texts)
    assert len(sent) - len(texts) <= CONNECTIONS
    assert await fleet.broke_nothing()


async def has_condition(fleet: Several, member: SupervisedProcess) -> bool:
    _, numbers = await fleet.ask("GET", "/metrics?format=json", of=member)
    _, health = await fleet.ask("GET", "/health", of=member)
    return bool(numbers['telegram_condition{condition="redis_away"}']) and "redis_away" in health["conditions"]


async def has_no_condition(fleet: Several, member: SupervisedProcess) -> bool:
    _, health = await fleet.ask("GET", "/health", of=member)
    return not health["conditions"]


async def test_a_worker_ended_by_a_signal_leaves_nothing_leased_lost_or_sent_twice(fleet: Several) -> None:
    worker, _ = fleet.all_of("worker")
    mark = f"-{pid_of(worker)}-".encode()
    await fleet.telegram.order(Fault(kind="latency", delay_ms=200, for_ms=5_000))
    texts = [f"ended {number}" for number in range(150)]
    await fleet.submit(*({"bot": "1", "chat_id": 700 + each, "text": text} for each, text in enumerate(texts)))
    await fleet.until(lambda: has_leases(fleet, mark))

    status = await end(worker)
    left = [record for record in await leased(fleet) if mark in record]
    is_starting = asyncio.create_task(worker.process.start())
    sent = await fleet.until_sent("ended ", len(texts))
    await is_starting

    assert status == 0
    assert left == []
    assert sorted(sent) == sorted(texts)
    assert await fleet.broke_nothing()


async def test_each_message_of_a_cancelled_campaign_is_either_sent_or_counted_as_cancelled(fleet: Several) -> None:
    texts = [f"sale {number}" for number in range(300)]
    await fleet.submit(
        *({"bot": "2", "chat_id": 2_000 + each, "text": text, "tag": "sale"} for each, text in enumerate(texts))
    )
    await fleet.until_sent("sale ", 10)
    status, answer = await fleet.ask("DELETE", "/messages?tag=sale")
    await fleet.until(lambda: nothing_is_leased(fleet))
    sent = await fleet.texts("sale ")

    assert (status, answer["is_complete"]) == (200, True)
    assert answer["cancelled"] > 0
    assert len(sent) == len(set(sent)) == len(texts) - answer["cancelled"]


async def test_messages_in_flight_in_a_killed_worker_are_retried(fleet: Several) -> None:
    _, worker = fleet.all_of("worker")
    mark = f"-{pid_of(worker)}-".encode()
    await fleet.telegram.order(Fault(kind="latency", delay_ms=300, where="out", for_ms=2_000))
    texts = [f"killed {number}" for number in range(150)]
    await fleet.submit(*({"bot": "2", "chat_id": 900 + each, "text": text} for each, text in enumerate(texts)))
    await fleet.until(lambda: has_leases(fleet, mark))

    await worker.process.kill()
    is_starting = asyncio.create_task(worker.process.start())
    await fleet.until_sent("killed ", len(texts), within_s=30)
    await fleet.until(lambda: nothing_is_leased(fleet))
    sent = await fleet.texts("killed ")
    await is_starting

    assert set(sent) == set(texts)
    assert len(sent) - len(texts) <= CONNECTIONS
    assert await fleet.broke_nothing()


async def test_updates_of_a_killed_api_process_are_answered_once_by_another(fleet: Several) -> None:
    for number in range(5):
        await fleet.tell(TOKENS[3], f"slow {number}", chat_id=800 + number)
    await fleet.api.process.kill()
    before = await fleet.texts("answered slow ")
    sent = await fleet.until_sent("answered slow ", 5, within_s=30)

    assert before == []
    assert sorted(sent) == [f"answered slow {number}" for number in range(5)]


async def test_the_logs_have_no_traceback_no_token_and_no_endless_repetition(fleet: Several) -> None:
    for member in fleet.fleet.members:
        events = fleet.said(member)
        written = str(events)
        assert "Traceback" not in written
        assert not [token for token in (*TOKENS, NEW_TOKEN) if token.partition(":")[2] in written]
        repeated = Counter(event["event"] for event in events if event["level"] != "info")
        assert max(repeated.values(), default=0) <= ENDLESS, (member.name, repeated)


def pid_of(member: SupervisedProcess) -> int:
    assert member.process.process is not None
    return member.process.process.pid


async def leased(fleet: Several) -> list[bytes]:
    """Return the records of leased messages; each names its worker."""
    ids: list[Any] = await fleet.client.zrange("{q2}:leases", 0, -1)
    records: list[Any] = await fleet.client.hmget("{q2}:messages", ids) if ids else []
    return [record for record in records if record]


async def has_leases(fleet: Several, mark: bytes) -> bool:
    return any(mark in record for record in await leased(fleet))


async def nothing_is_leased(fleet: Several) -> bool:
    return not await leased(fleet)
