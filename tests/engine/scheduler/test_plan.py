from __future__ import annotations

from dataclasses import replace

from tempogram.engine.scheduler.plan import Budget, plan, sentence
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Cron, Every

LOOKUPS = {"x:tweet_lookup": Budget(name="x:tweet_lookup", count=15, window_ms=900_000)}


def task(name: str, seconds: float | str, calls: int = 1) -> Task:
    times = Cron(seconds) if isinstance(seconds, str) else Every(int(seconds * 1_000))
    return Task(name=name, times=times, work=print, uses={"x:tweet_lookup": calls})


def test_two_tasks_that_exceed_their_budget_are_distinguished_from_two_that_do_not() -> None:
    (before,) = plan([task("validateEntries", 60), task("fastDeleteSweep", 90)], LOOKUPS)
    (after,) = plan([task("validateEntries", 180), task("fastDeleteSweep", 180)], LOOKUPS)

    assert float(before.calls) == 25
    assert not before.holds
    assert float(after.calls) == 10
    assert after.holds
    assert "(validateEntries 5, fastDeleteSweep 5)" in sentence(after)


def test_the_intervals_that_are_said_to_fit_do_fit() -> None:
    tasks = [task("validateEntries", 60, calls=2), task("fastDeleteSweep", 90), task("report", "0 * * * *", calls=3)]
    (exceeded,) = plan(tasks, LOOKUPS)

    stretched = [
        task(share.task, share.fits_s, calls) for share, calls in zip(exceeded.shares[:2], (2, 1), strict=True)
    ]
    same = [
        task(share.task, exceeded.same_interval_s, calls)
        for share, calls in zip(exceeded.shares[:2], (2, 1), strict=True)
    ]

    assert not exceeded.holds
    assert plan([*same, tasks[2]], LOOKUPS)[0].holds
    assert plan(stretched, LOOKUPS)[0].calls <= 15


def test_a_cron_counts_with_the_window_in_which_it_is_due_most_often() -> None:
    (planned,) = plan([task("burst", "0-4 9 * * *", calls=4)], LOOKUPS)

    assert planned.calls == 20
    assert sentence(planned).endswith("let them run less often")


def test_a_budget_that_holds_only_without_retries_says_so() -> None:
    (planned,) = plan([replace(task("poll", 180), max_retries=3)], LOOKUPS)

    assert planned.holds
    assert sentence(planned).endswith("(poll 5); with all retries 20, which is too many")


def test_what_has_no_budget_is_left_out() -> None:
    assert plan([Task(name="free", times=Every(60_000), work=print, uses={"films:availability": 1})], LOOKUPS) == []


def test_a_use_of_an_operation_takes_of_the_budget_of_its_service_too() -> None:
    budgets = LOOKUPS | {"x": Budget(name="x", count=12, window_ms=900_000)}
    poll = Task(name="poll", times=Every(180_000), work=print, uses={"x:tweet_lookup": 1, "x:mentions": 2})

    service, lookups = plan([poll], budgets)

    assert (service.budget.name, float(service.calls), service.holds) == ("x", 15, False)
    assert (lookups.budget.name, float(lookups.calls), lookups.holds) == ("x:tweet_lookup", 5, True)
