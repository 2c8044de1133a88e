"""The metrics of answers that are kept, of this process.

    cache_gets_total{cache, outcome}       answers that were asked for, by where they came from
    cache_not_kept_total{cache, reason}    answers that were computed, and could not be kept
    cache_refresh_failures_total{cache}    stale answers that could not be computed anew behind the callers' backs
    cache_dropped_total                    entries that went before their time, to make room
    cache_away_total                       computations without the cache, as Redis did not answer
    cache_entries, cache_bytes             what this process holds in memory; with Redis both are 0

The label ``cache`` is an operation of a service, such as ``films:availability``, or the name of a fixed use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


class Got(StrEnum):
    """Where an answer came from."""

    HIT = "hit"
    EARLY = "early"  # fresh, and it is computed anew meanwhile
    STALE = "stale"  # likewise, and it is not fresh any more
    STALE_IF_ERROR = "stale_if_error"  # it could not be computed anew
    NEGATIVE = "negative"  # that there is none, or an error
    MISS = "miss"  # computed for this caller
    SHARED = "shared"  # computed for another one, or by another process, that asked at the same time


@dataclass(slots=True)
class CacheMetrics:
    """Plain numbers, because every answer is counted.

    Attributes:
        held: Returns the entries in memory and their bytes.
        dropped: Returns how many entries were dropped.
    """

    gets: dict[tuple[str, Got], int] = field(default_factory=lambda: defaultdict(int))
    not_kept: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    refresh_failures: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    away: int = 0
    held: Callable[[], tuple[int, int]] = lambda: (0, 0)
    dropped: Callable[[], int] = int

    def collect(self) -> Iterator[Metric]:
        gets = CounterMetricFamily(
            "cache_gets", "Answers that were asked for, by where they came from.", labels=("cache", "outcome")
        )
        for (cache, outcome), count in self.gets.items():
            gets.add_metric((cache, outcome.value), count)
        not_kept = CounterMetricFamily("cache_not_kept", "Answers that could not be kept.", labels=("cache", "reason"))
        for labels, count in self.not_kept.items():
            not_kept.add_metric(labels, count)
        failures = CounterMetricFamily(
            "cache_refresh_failures", "Answers that could not be computed anew.", labels=("cache",)
        )
        for cache, count in self.refresh_failures.items():
            failures.add_metric((cache,), count)
        entries, size_bytes = self.held()
        yield gets
        yield not_kept
        yield failures
        yield CounterMetricFamily("cache_dropped", "Entries dropped to make room.", value=self.dropped())
        yield CounterMetricFamily("cache_away", "Computations while Redis did not answer.", value=self.away)
        yield GaugeMetricFamily("cache_entries", "Entries in the memory of this process.", value=entries)
        yield GaugeMetricFamily("cache_bytes", "Their bytes.", value=size_bytes)
