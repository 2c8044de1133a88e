"""What every store of tasks promises."""

from __future__ import annotations

import asyncio

import pytest

from tempogram.engine.ports.task_store import HISTORY, RunRecord, RunResult, Step, TaskRow, TaskStore
from tests.fakes import START_MS


def declared(name: str, **changes: object) -> TaskRow:
    usual: dict[str, object] = {
        "name": name,
        "times": "every 60000 0",
        "due_at_ms": START_MS,
        "anchor_ms": START_MS,
        "next_due_ms": START_MS + 60_000,
    }
    return TaskRow(**usual | changes)  # type: ignore[arg-type]


def begin(name: str, due_ms: int, run_id: str, process: str = "a") -> Step:
    sets = {"due_at_ms": due_ms, "run_id": run_id, "run_by": process, "run_until_ms": due_ms + 15_000}
    return Step(name=name, sets=sets, adds={"run_number": 1}, due_below_ms=due_ms, run_id="")


def recorded(name: str, number: int, run_id: str) -> Step:
    record = RunRecord(name=name, number=number, due_ms=1, began_ms=2, ended_ms=3, result=RunResult.DONE, process="a")
    return Step(name=name, sets={"run_id": ""}, adds={"runs": 1}, run_id=run_id, record=record)


class TaskStoreContract:
    @pytest.fixture
    async def poll(self, store: TaskStore) -> TaskRow:
        return (await store.declare([declared("poll")]))[0]

    async def test_a_task_that_is_known_stays_as_it_is(self, store: TaskStore, poll: TaskRow) -> None:
        await store.step(Step(name="poll", sets={"is_paused": True}))

        rows = await store.declare([declared("new"), declared("poll")])

        assert [row.name for row in rows] == ["new", "poll"]
        assert [row.is_paused for row in rows] == [False, True]
        assert await store.rows() == rows

    async def test_of_many_who_begin_a_run_for_a_due_time_one_does(self, store: TaskStore, poll: TaskRow) -> None:
        steps = [begin("poll", START_MS + 60_000, f"run{number}") for number in range(20)]

        made = await asyncio.gather(*(store.step(step) for step in steps))

        row = await store.row("poll")
        assert row is not None
        assert made.count(True) == 1
        assert row.run_id == f"run{made.index(True)}"
        assert (row.due_at_ms, row.run_number) == (START_MS + 60_000, 1)

    async def test_of_steps_that_are_made_together_each_holds_or_not_by_itself(
        self, store: TaskStore, poll: TaskRow
    ) -> None:
        names = [f"poll{number}" for number in range(20)]
        await store.declare([declared(name) for name in names])
        for name in names[::2]:
            await store.step(begin(name, START_MS + 60_000, f"{name}-first"))

        begun = [begin(name, START_MS + 120_000, f"{name}-second") for name in names]
        ended = [recorded(name, 1, f"{name}-first") for name in names]
        made = await asyncio.gather(*(store.step(step) for step in (*begun, *ended)))

        second, first = made[:20], made[20:]
        assert second == [False, True] * 10
        assert first == [True, False] * 10
        assert [(row.run_id, row.runs) for row in await store.rows() if row.name == "poll1"] == [("poll1-second", 0)]
        assert [len(await store.history(name)) for name in names] == [1, 0] * 10

    async def test_several_steps_of_one_task_that_are_made_together_are_all_made(
        self, store: TaskStore, poll: TaskRow
    ) -> None:
        made = await asyncio.gather(*(store.step(Step(name="poll", sets={}, adds={"runs": 1})) for _ in range(9)))

        row = await store.row("poll")
        assert row is not None
        assert (made, row.runs, row.version) == ([True] * 9, 9, 9)

    async def test_no_run_begins_for_an_older_due_time_nor_while_one_is_under_way(
        self, store: TaskStore, poll: TaskRow
    ) -> None:
        assert await store.step(begin("poll", START_MS + 60_000, "first"))
        assert not await store.step(begin("poll", START_MS + 120_000, "second"))
        assert await store.step(recorded("poll", 1, "first"))
        assert not await store.step(begin("poll", START_MS + 60_000, "again"))
        assert await store.step(begin("poll", START_MS + 120_000, "second"))

    async def test_the_end_of_a_run_that_was_lost_is_not_written(self, store: TaskStore, poll: TaskRow) -> None:
        await store.step(begin("poll", START_MS + 60_000, "first"))
        early = Step(name="poll", sets={"run_id": "repeat"}, run_id="first", lost_by_ms=START_MS + 74_999)
        in_time = Step(name="poll", sets={"run_id": "repeat"}, run_id="first", lost_by_ms=START_MS + 75_000)

        assert not await store.step(early)
        assert await store.step(in_time)
        assert not await store.step(recorded("poll", 1, "first"))
        assert await store.history("poll") == []

    async def test_a_change_by_hand_of_a_row_that_has_changed_meanwhile_is_not_made(
        self, store: TaskStore, poll: TaskRow
    ) -> None:
        assert await store.step(Step(name="poll", sets={"is_paused": True}, version=poll.version))
        assert not await store.step(Step(name="poll", sets={"is_paused": False}, version=poll.version))

    async def test_the_last_runs_of_a_task_are_kept_newest_first(self, store: TaskStore, poll: TaskRow) -> None:
        for number in range(1, HISTORY + 4):
            await store.step(Step(name="poll", sets={"run_id": "x"}))
            await store.step(recorded("poll", number, "x"))

        runs = await store.history("poll")

        assert [run.number for run in runs] == list(range(HISTORY + 3, 3, -1))
        assert runs[0].result is RunResult.DONE

    async def test_runs_of_a_process_are_kept_and_those_of_others_not(self, store: TaskStore, poll: TaskRow) -> None:
        await store.declare([declared("other"), declared("idle")])
        await store.step(begin("poll", START_MS + 60_000, "mine"))
        await store.step(begin("other", START_MS + 60_000, "theirs", process="b"))

        kept = await store.keep("a", START_MS + 99_000)

        assert kept == {"mine"}
        assert [row.run_until_ms for row in await store.rows()] == [0, START_MS + 75_000, START_MS + 99_000]

    async def test_what_is_overdue_is_found(self, store: TaskStore, poll: TaskRow) -> None:
        late = START_MS + 60_000
        await store.declare(
            [
                declared("paused", is_paused=True),
                declared("asked", is_paused=True, run_at_ms=late),
                declared("later", next_due_ms=late + 60_000),
                declared("lost", next_due_ms=late + 60_000, run_id="x", run_until_ms=late),
                declared("running", run_id="x", run_until_ms=late + 60_000),
                declared("of_earlier", is_declared=False),
                declared("never", next_due_ms=0),
            ]
        )

        rows = await store.overdue(late + 1, late + 1, limit=10)

        assert sorted(row.name for row in rows) == ["asked", "lost", "poll"]
        assert len(await store.overdue(late + 1, late + 1, limit=2)) == 2

    async def test_what_was_changed_by_hand_is_found(self, store: TaskStore, poll: TaskRow) -> None:
        await store.declare([declared("other")])
        clock_that_is_wrong_ms = START_MS - 86_400_000
        await store.step(Step(name="poll", sets={"is_paused": True, "changed_at_ms": clock_that_is_wrong_ms}))

        assert [row.name for row in await store.changed_within(60_000)] == ["poll"]
        assert await store.changed_within(-60_000) == []

    async def test_only_a_task_that_is_not_declared_any_more_can_be_forgotten(
        self, store: TaskStore, poll: TaskRow
    ) -> None:
        await store.declare([declared("old")])
        await store.step(recorded("old", 1, ""))
        await store.mark_declared({"poll"})

        assert [row.is_declared for row in await store.rows()] == [False, True]
        assert await store.forget("old")
        assert not await store.forget("poll")
        assert not await store.forget("unknown")
        assert await store.history("old") == []

    async def test_a_due_time_that_has_not_come_by_the_clock_of_all_is_not_used_up(
        self, store: TaskStore, poll: TaskRow
    ) -> None:
        assert not await store.step(begin("poll", 4_000_000_000_000, "ahead"))
