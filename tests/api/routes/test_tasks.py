from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tempogram.api.schemas.tasks import TaskHistoryOut, TaskOut, TasksOut
from tempogram.api.security.principals import Role
from tempogram.engine.ports.task_store import TaskRow
from tests.api.fakes import World, error_of
from tests.fakes import START_MS

POLL = TaskRow(
    name="poll", times="every 60000 0", due_at_ms=START_MS, anchor_ms=START_MS, next_due_ms=START_MS + 60_000
)
REPORT = TaskRow(name="report", times="cron UTC 0 9 * * *", next_due_ms=START_MS + 3_600_000)


@pytest.fixture
def world(world: World) -> World:
    world.tasks.table |= {"poll": POLL, "report": REPORT}
    return world


async def test_all_tasks_are_listed_by_name(world: World) -> None:
    answer = (await world.of(Role.VIEWER).get("/tasks")).json()

    assert [(each["name"], each["times"], each["status"]) for each in answer["tasks"]] == [
        ("poll", "every 60 s", "NEVER_RUN"),
        ("report", "cron 0 9 * * * in UTC", "NEVER_RUN"),
    ]
    TasksOut.model_validate(answer)


async def test_one_task_is_shown_with_its_history(world: World) -> None:
    answer = (await world.client.get("/tasks/poll")).json()

    assert (answer["name"], answer["history"]) == ("poll", [])
    TaskHistoryOut.model_validate(answer)


async def test_an_interval_is_changed_and_null_returns_to_the_declared_one(world: World) -> None:
    changed = (await world.of(Role.OPERATOR).patch("/tasks/poll", json={"interval_s": 90.5})).json()

    assert (changed["interval_s"], changed["declared_interval_s"]) == (90.5, 60)
    assert world.tasks.table["poll"].chosen_interval_ms == 90_500
    TaskOut.model_validate(changed)
    reset = (await world.client.patch("/tasks/poll", json={"interval_s": None})).json()
    assert reset["interval_s"] == 60


async def test_a_task_is_paused_and_resumed(world: World) -> None:
    assert (await world.client.patch("/tasks/poll", json={"is_paused": True})).json()["status"] == "PAUSED"
    assert (await world.client.patch("/tasks/poll", json={"is_paused": False})).json()["status"] == "NEVER_RUN"


async def test_an_interval_and_a_pause_are_changed_at_once(world: World) -> None:
    answer = (await world.client.patch("/tasks/poll", json={"interval_s": 30, "is_paused": True})).json()

    assert (answer["interval_s"], answer["is_paused"]) == (30, True)


@pytest.mark.parametrize(
    ("name", "body", "status", "sentence"),
    [
        ("poll", {}, 422, "say what to change: interval_s or is_paused"),
        ("poll", {"is_paused": None}, 422, "say what to change: interval_s or is_paused"),
        ("poll", {"interval_s": 0.01}, 422, "interval_s should be greater than or equal to 0.1, not 0.01"),
        ("poll", {"interval": 30}, 422, "interval is not a field of this request"),
        ("report", {"interval_s": 30}, 400, "report is due by cron; its interval cannot be changed"),
        ("pole", {"is_paused": True}, 404, "there is no task 'pole'"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    world: World, name: str, body: dict[str, Any], status: int, sentence: str
) -> None:
    answer = error_of(await world.client.patch(f"/tasks/{name}", json=body))

    assert answer[0] == status
    assert sentence in answer[2]
    assert world.tasks.table == {"poll": POLL, "report": REPORT}


async def test_a_run_is_asked_for(world: World) -> None:
    answer = await world.of(Role.OPERATOR).post("/tasks/poll/run")

    assert answer.status_code == 202
    assert world.tasks.table["poll"].run_at_ms > POLL.due_at_ms
    TaskOut.model_validate(answer.json())


async def test_a_task_that_is_running_is_not_run_besides(world: World) -> None:
    world.tasks.table["poll"] = replace(POLL, run_id="r1", run_until_ms=START_MS + 15_000)

    assert error_of(await world.client.post("/tasks/poll/run")) == (
        409,
        "conflict",
        "poll is running; wait for its end",
    )


async def test_a_task_that_is_declared_no_more_is_forgotten(world: World) -> None:
    world.tasks.table["poll"] = replace(POLL, is_declared=False)

    assert (await world.of(Role.OPERATOR).delete("/tasks/poll")).json()["name"] == "poll"
    assert (await world.client.get("/tasks/poll")).status_code == 404


async def test_a_declared_task_is_not_forgotten(world: World) -> None:
    assert error_of(await world.client.delete("/tasks/poll"))[:2] == (409, "conflict")
    assert "poll" in world.tasks.table


async def test_a_viewer_changes_nothing(world: World) -> None:
    viewer = world.of(Role.VIEWER)
    answers = [
        await viewer.patch("/tasks/poll", json={"is_paused": True}),
        await viewer.post("/tasks/poll/run"),
        await viewer.delete("/tasks/poll"),
    ]

    assert [error_of(each)[:2] for each in answers] == [(403, "not_allowed")] * 3
    assert world.tasks.table["poll"] == POLL


async def test_it_says_so_while_the_database_is_away(world: World) -> None:
    world.tasks.is_away = True

    for answer in (
        await world.client.get("/tasks"),
        await world.client.patch("/tasks/poll", json={"is_paused": True}),
        await world.client.post("/tasks/poll/run"),
        await world.client.delete("/tasks/poll"),
    ):
        assert error_of(answer)[:2] == (503, "ledger_unavailable")
