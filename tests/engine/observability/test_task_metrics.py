from __future__ import annotations

from tempogram.engine.observability.metrics import EngineCollector, Metrics, as_flat
from tempogram.engine.observability.task_metrics import Statuses


def flat(metrics: Metrics, statuses: Statuses | None = None) -> dict[str, float]:
    return as_flat(EngineCollector(metrics, queue=None, dead=None, conditions=(), statuses=statuses))


def test_runs_are_counted_by_task_and_result() -> None:
    metrics = Metrics()
    for result, took_ms in (("done", 200), ("done", 300), ("timed_out", 20_000)):
        metrics.tasks.count_end("poller", result, took_ms=took_ms)

    seen = flat(metrics)

    assert seen['task_runs_total{result="done",task="poller"}'] == 2
    assert seen['task_runs_total{result="timed_out",task="poller"}'] == 1
    assert seen['task_duration_seconds_count{task="poller"}'] == 3
    assert seen['task_duration_seconds_sum{task="poller"}'] == 20.5


def test_lateness_is_counted_by_its_bounds_and_never_below_0() -> None:
    metrics = Metrics()
    for late_ms in (-2, 3, 40, 90_000):
        metrics.tasks.count_begin(late_ms=late_ms)

    seen = flat(metrics)

    assert seen['task_lateness_seconds_bucket{le="0.005"}'] == 2
    assert seen['task_lateness_seconds_bucket{le="0.05"}'] == 3
    assert seen["task_lateness_seconds_count"] == 4
    assert seen["task_lateness_seconds_sum"] == 90.043


def test_a_task_has_one_status_and_a_loop_one_for_each_process() -> None:
    statuses = Statuses(
        {"poller": "STALLED"}, [("recoverer", "HEALTHY"), ("recoverer", "HEALTHY"), ("recoverer", "LATE")]
    )

    seen = {name: value for name, value in flat(Metrics(), statuses).items() if "status" in name}

    assert seen == {
        'task_status{status="STALLED",task="poller"}': 1,
        'loop_status{loop="recoverer",status="HEALTHY"}': 2,
        'loop_status{loop="recoverer",status="LATE"}': 1,
    }


def test_statuses_are_left_out_while_the_database_is_away() -> None:
    assert not any(name.startswith(("task_status", "loop_status")) for name in flat(Metrics()))
