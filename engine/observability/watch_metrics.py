"""The metrics of watches: counters of this process, and what the database counts, which is the same in each.

    watch_checks_total{source, result}   items that were asked for: answered, failed, or waits for the service
    watch_changes_total{source}          answers that differed from what was known
    watch_digests_total{result}          messages to subscribers: submitted, deferred, dropped or refused
    watch_items                          items that are known
    watch_items_due                      those that are to be checked now
    watch_items_failing                  those for which their source did not answer the last time
    watch_subscribers                    chats that watch something
    watch_digests_waiting                chats that are still to be notified
    watch_pause_seconds{source}          between two calls of a source; longer while its pace is slowed

Labels are names of declared sources only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tempogram.engine.model.watches import WatchCounts


@dataclass(slots=True)
class WatchMetrics:
    """Counts of what this process has checked and submitted."""

    checks: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    changes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    digests: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def count_check(self, source: str, result: str) -> None:
        self.checks[source, result] += 1

    def count_change(self, source: str) -> None:
        self.changes[source] += 1

    def count_digests(self, result: str, count: int = 1) -> None:
        if count:
            self.digests[result] += count

    def collect(self) -> Iterator[Metric]:
        checks = CounterMetricFamily("watch_checks", "Items that were asked for here.", labels=("source", "result"))
        for labels, count in self.checks.items():
            checks.add_metric(labels, count)
        yield checks
        changes = CounterMetricFamily("watch_changes", "Answers that differed from what was known.", labels=("source",))
        for source, count in self.changes.items():
            changes.add_metric((source,), count)
        yield changes
        digests = CounterMetricFamily("watch_digests", "Messages to subscribers of watches.", labels=("result",))
        for result, count in self.digests.items():
            digests.add_metric((result,), count)
        yield digests


def gauges(counts: WatchCounts) -> Iterator[Metric]:
    yield GaugeMetricFamily("watch_items", "Items that are known.", counts.items)
    yield GaugeMetricFamily("watch_items_due", "Items that are to be checked now.", counts.due)
    failing = "Items for which their source did not answer the last time."
    yield GaugeMetricFamily("watch_items_failing", failing, counts.failing)
    yield GaugeMetricFamily("watch_subscribers", "Chats that watch something.", counts.subscribers)
    yield GaugeMetricFamily("watch_digests_waiting", "Chats that are still to be notified.", counts.digests)
    pauses = GaugeMetricFamily("watch_pause_seconds", "Seconds between two calls of a source.", labels=("source",))
    for source, pause_ms in counts.pauses_ms.items():
        pauses.add_metric((source,), pause_ms / 1_000)
    yield pauses
