from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from tempogram.api.monitoring_app import create_monitoring_app
from tempogram.api.schemas.tasks import CronHealthOut, CronLoopOut, CronTaskOut
from tempogram.api.security.principals import Role
from tempogram.api.usecases import cron_health
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.ports.beat_store import LoopBeat
from tempogram.engine.ports.task_store import RunRecord, RunResult, TaskRow
from tempogram.engine.services.catalogue import service_of
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tests.api.fakes import ADMIN_TOKEN, World, error_of
from tests.fakes import START_MS

X = service_of(
    "x",
    {
        "operations": {
            "mentions": {"count": 10, "window_ms": 900_000},
            "tweet_lookup": {"count": 15, "window_ms": 900_000},
        }
    },
)

POLLER = TaskRow(
    name="twitterPoller",
    times="every 120000 0",
    due_at_ms=START_MS - 120_000,
    anchor_ms=START_MS - 240_000,
    next_due_ms=START_MS,
    last_run_ms=START_MS - 120_000,
    last_duration_ms=1_500,
    last_result="done",
    runs=7,
)


@pytest.fixture
def world(world: World) -> World:
    services = Services({"x": X}, MemoryCallLimiter(clock=world.clock, after_start=False), clock=world.clock)
    world.app.state.dependencies = world.dependencies = replace(world.dependencies, services=services)
    world.tasks.table["twitterPoller"] = POLLER
    return world


async def once() -> None:
    pass


async def test_the_answer_has_the_form_of_the_mission(world: World) -> None:
    assert world.dependencies.services is not None
    await world.dependencies.services.call("x", "mentions", once)

    answer = (await world.of(Role.VIEWER).get("/health/cron")).json()

    left = {"mentions": {"tokens": 9, "capacity": 10}, "tweetLookup": {"tokens": 15, "capacity": 15}}
    assert answer == {
        "timestamp": iso(START_MS),
        "services": [
            {
                "service": "twitterPoller",
                "last_run": iso(START_MS - 120_000),
                "age_seconds": 120,
                "status": "HEALTHY",
            }
        ],
        "stalled_services": [],
        "x_api_status": left,
        "limits": {"x": left},
    }
    assert answer["timestamp"].endswith("Z")
    CronHealthOut.model_validate(answer)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"last_run_ms": 0, "anchor_ms": START_MS, "next_due_ms": START_MS + 120_000}, "NEVER_RUN"),
        ({}, "HEALTHY"),
        ({"next_due_ms": START_MS - 6_000}, "LATE"),
        ({"last_run_ms": START_MS - 240_001, "next_due_ms": START_MS - 120_001}, "STALLED"),
        ({"is_failing": True}, "FAILING"),
        ({"is_paused": True}, "PAUSED"),
    ],
)
async def test_each_status_is_shown(world: World, changes: dict[str, int], status: str) -> None:
    world.tasks.table["twitterPoller"] = replace(POLLER, **changes)  # type: ignore[arg-type]

    answer = (await world.client.get("/health/cron")).json()

    assert [each["status"] for each in answer["services"]] == [status]
    assert answer["stalled_services"] == (["twitterPoller"] if status == "STALLED" else [])


async def test_a_task_that_never_ran_has_no_age(world: World) -> None:
    world.tasks.table["twitterPoller"] = replace(POLLER, last_run_ms=0)

    (line,) = (await world.client.get("/health/cron")).json()["services"]

    assert (line["last_run"], line["age_seconds"]) == (None, None)


async def test_a_task_of_an_earlier_version_is_not_watched(world: World) -> None:
    world.tasks.table["twitterPoller"] = replace(POLLER, is_declared=False, last_run_ms=1)

    answer = (await world.client.get("/health/cron")).json()

    assert (answer["services"], answer["stalled_services"]) == ([], [])


async def test_loops_of_every_process_are_listed_and_a_silent_one_is_stalled(world: World) -> None:
    beat = LoopBeat(process="1f2e3d4c", loop="recoverer", role="worker", at_ms=START_MS - 121_000, every_ms=60_000)
    await world.beats.report("1f2e3d4c", [beat], alive=["1f2e3d4c"])

    answer = (await world.client.get("/health/cron")).json()
    details = (await world.client.get("/health/cron/recoverer@1f2e3d4c")).json()

    assert answer["stalled_services"] == ["recoverer@1f2e3d4c"]
    assert (details["process"], details["role"], details["interval_s"]) == ("1f2e3d4c", "worker", 60)
    CronLoopOut.model_validate(details)


async def test_one_task_is_shown_with_everything_and_its_history(world: World) -> None:
    row = replace(
        POLLER,
        last_result="failed",
        last_error="HTTPError: 503 at https://me:secret@api.example.org/",
        failures=2,
        failed=3,
        overruns=1,
        missed=4,
    )
    world.tasks.table["twitterPoller"] = row
    world.tasks.runs["twitterPoller"] = [
        RunRecord(
            name="twitterPoller",
            number=7,
            due_ms=START_MS - 120_000,
            began_ms=START_MS - 119_990,
            ended_ms=START_MS - 118_490,
            result=RunResult.FAILED,
            attempts=2,
            error="HTTPError: 503",
            process="1f2e3d4c",
        )
    ]

    shown = (await world.client.get("/health/cron/twitterPoller")).json()

    assert (shown["interval_s"], shown["next_run"], shown["last_duration_s"]) == (120, iso(START_MS), 1.5)
    assert shown["last_error"] == "HTTPError: 503 at https://…@api.example.org/"
    assert shown["failures_in_a_row"] == 2
    assert shown["counts"] == {
        "runs": 7, "failed": 3, "timed_out": 0, "cancelled": 0, "lost": 0, "overruns": 1, "missed": 4,
    }  # fmt: skip
    (run,) = shown["history"]
    assert (run["number"], run["result"], run["duration_s"], run["attempts"]) == (7, "failed", 1.5, 2)
    CronTaskOut.model_validate(shown)


async def test_a_cron_is_shown_with_its_zone(world: World) -> None:
    world.tasks.table["report"] = replace(POLLER, name="report", times="cron Europe/Berlin 30 8 * * MON-FRI")

    shown = (await world.client.get("/health/cron/report")).json()

    assert (shown["cron"], shown["zone"], shown["interval_s"]) == ("30 8 * * MON-FRI", "Europe/Berlin", None)


async def test_a_row_that_cannot_be_read_is_shown_with_the_reason(world: World) -> None:
    world.tasks.table["twitterPoller"] = replace(POLLER, times="cron Nowhere/None * * * * *")

    shown = (await world.client.get("/health/cron/twitterPoller")).json()

    assert shown["times"] == "there is no time zone 'Nowhere/None'; write it like Europe/Berlin"


@pytest.mark.parametrize("name", ["twitterPooler", "recoverer@00000000"])
async def test_an_unknown_service_is_refused_with_the_way_out(world: World, name: str) -> None:
    assert error_of(await world.client.get(f"/health/cron/{name}")) == (
        404,
        "not_found",
        f"there is no task or loop '{name}'; GET /health/cron lists them",
    )


@pytest.mark.parametrize("path", ["/health/cron", "/health/cron/twitterPoller"])
async def test_it_says_so_while_the_database_is_away(world: World, path: str) -> None:
    world.tasks.is_away = True

    assert error_of(await world.client.get(path)) == (
        503,
        "ledger_unavailable",
        "the ledger cannot be reached; try again in a moment",
    )


async def test_a_database_that_does_not_answer_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cron_health, "TIMEOUT_S", 0.01)

    async def never() -> list[TaskRow]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(world.tasks, "rows", never)

    assert (await world.client.get("/health/cron")).status_code == 503


async def test_tasks_are_shown_while_redis_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_: str) -> None:
        raise BrokerUnavailable("connection refused")

    monkeypatch.setattr(world.dependencies.services, "state", refused)

    answer = (await world.client.get("/health/cron")).json()

    assert (len(answer["services"]), answer["limits"], "x_api_status" in answer) == (1, None, False)


async def test_it_needs_a_token(world: World) -> None:
    for path in ("/health/cron", "/health/cron/twitterPoller"):
        assert error_of(await world.anonymous.get(path))[:2] == (401, "not_authenticated")


@pytest.mark.parametrize("path", ["/health/cron", "/health/cron/twitterPoller", "/health/cron/nothing"])
async def test_a_process_without_an_api_answers_the_same(world: World, path: str) -> None:
    transport = httpx.ASGITransport(create_monitoring_app(world.dependencies))
    alone = httpx.AsyncClient(transport=transport, base_url="http://worker")

    assert (await alone.get(path)).status_code == 401
    answer = await alone.get(path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    assert (answer.status_code, answer.json()) == (
        (expected := await world.client.get(path)).status_code,
        expected.json(),
    )


def iso(at_ms: int) -> str:
    from tempogram.api.usecases.tasks_shown import time_of

    return time_of(at_ms)
