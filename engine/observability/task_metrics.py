"""The metrics of tasks. Runs are counted by the process that ran them; how tasks are is the same in each process.

    task_runs_total{task, result}     runs that ended here: done, failed, timed_out or cancelled
    task_duration_seconds{task}       sum and count of the durations of these runs, with all their attempts
    task_lateness_seconds             from the due time and its jitter to the beginning of a run
    task_status{task, status}         1 for the status that a task has now
    loop_status{loop, status}         how many processes have this loop in this status

Labels are names of declared tasks only, and appear with the first run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from tempogram.engine.observability.histogram import Histogram

LATENESS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0)
"""From "at once" over the takeover by another process to what is caught up."""


@dataclass(slots=True)
class TaskCounts:
    """What is counted of one task, as plain numbers; ``runs``: by result."""

    runs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    duration_s: float = 0.0


@dataclass(slots=True)
class TaskMetrics:
    """Counts of every task that ran in this process."""

    tasks: dict[str, TaskCounts] = field(default_factory=lambda: defaultdict(TaskCounts))
    lateness: Histogram = field(default_factory=lambda: Histogram(LATENESS_S))

    def count_begin(self, *, late_ms: int) -> None:
        self.lateness.observe(max(0, late_ms) / 1_000)

    def count_end(self, task: str, result: str, *, took_ms: int) -> None:
        counts = self.tasks[task]
        counts.runs[result] += 1
        counts.duration_s += max(0, took_ms) / 1_000

    def collect(self) -> Iterator[Metric]:
        runs = CounterMetricFamily("task_runs", "Runs of tasks that ended here.", labels=("task", "result"))
        took = SummaryMetricFamily("task_duration_seconds", "Seconds that runs of a task took.", labels=("task",))
        for task, counts in self.tasks.items():
            for result, count in counts.runs.items():
                runs.add_metric((task, result), count)
            took.add_metric((task,), count_value=sum(counts.runs.values()), sum_value=counts.duration_s)
        yield runs
        yield took
        late = HistogramMetricFamily("task_lateness_seconds", "Seconds from the due time to the beginning of a run.")
        late.add_metric((), self.lateness.buckets, self.lateness.sum)
        yield late


@dataclass(frozen=True, slots=True)
class Statuses:
    """How tasks and loops are, over all processes.

    Attributes:
        tasks: The status of each task.
        loops: Loop and status, once for each process.
    """

    tasks: Mapping[str, str]
    loops: Sequence[tuple[str, str]]

    def collect(self) -> Iterator[Metric]:
        tasks = GaugeMetricFamily("task_status", "1 for the status of a task.", labels=("task", "status"))
        for task, status in self.tasks.items():
            tasks.add_metric((task, status), 1)
        yield tasks
        loops = GaugeMetricFamily("loop_status", "Processes with a loop in this status.", labels=("loop", "status"))
        for names, processes in sorted(Counter(self.loops).items()):
            loops.add_metric(names, processes)
        yield loops
