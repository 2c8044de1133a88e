"""The metrics of calls to services, of this process.

    service_calls_total{service, operation, outcome}       calls with all their attempts, by what came of them
    service_rate_limit_hits_total{service, operation}      answers that said: too many requests (429)
    service_retries_total{service, operation}              attempts after the first
    service_holds_total{service, operation}                holds after an answer: said by the service, or for a 429
    service_wait_seconds{service, operation}               from the line to the beginning of one attempt
    service_duration_seconds{service, operation}           duration of one attempt
    service_under_way{service, operation}                  attempts that have a place: the concurrency that is used
    service_waiting{service, operation}                    attempts that wait for a place
    service_concurrency_limit{service}                     places that are allowed, over all processes
    service_breaker{service, operation, state}             1 for the state in which the breaker is

Labels are names of declared services and operations only, and appear with the first call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tempogram.engine.observability.histogram import Histogram

LABELS = ("service", "operation")

WAIT_S = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 900.0)
"""From "at once" to the longest window that is usual, 15 minutes."""

DURATION_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Up to the time-out of one attempt of a language model."""

BREAKER_STATES = ("closed", "half_open", "open")


@dataclass(slots=True)
class OperationCounts:
    """What is counted of one operation, as plain numbers.

    Attributes:
        calls: By outcome.
        breaker: Its state now.
    """

    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    rate_limit_hits: int = 0
    retries: int = 0
    holds: int = 0
    under_way: int = 0
    waiting: int = 0
    wait: Histogram = field(default_factory=lambda: Histogram(WAIT_S))
    duration: Histogram = field(default_factory=lambda: Histogram(DURATION_S))
    breaker: Callable[[], str] = lambda: BREAKER_STATES[0]


@dataclass(slots=True)
class ServiceMetrics:
    """Counts of every operation that was called.

    Attributes:
        concurrency: Returns the places of each service that has a limit of them.
    """

    operations: dict[tuple[str, str], OperationCounts] = field(default_factory=lambda: defaultdict(OperationCounts))
    concurrency: Callable[[], Mapping[str, int]] = dict

    def collect(self) -> Iterator[Metric]:
        yield self._calls()
        yield self._counted("service_rate_limit_hits", "Answers that said: too many requests.", "rate_limit_hits")
        yield self._counted("service_retries", "Attempts after the first.", "retries")
        yield self._counted("service_holds", "Holds after an answer.", "holds")
        yield self._timed("service_wait_seconds", "Seconds from the line to the beginning of one attempt.", "wait")
        yield self._timed("service_duration_seconds", "Seconds that one attempt took.", "duration")
        yield self._shown("service_under_way", "Attempts of this process that have a place.", "under_way")
        yield self._shown("service_waiting", "Attempts of this process that wait for a place.", "waiting")
        yield self._concurrency()
        yield self._breakers()

    def _calls(self) -> Metric:
        family = CounterMetricFamily(
            "service_calls", "Calls of services, by what came of them.", labels=(*LABELS, "outcome")
        )
        for names, counts in self.operations.items():
            for outcome, count in counts.calls.items():
                family.add_metric((*names, outcome), count)
        return family

    def _counted(self, name: str, text: str, of: str) -> Metric:
        family = CounterMetricFamily(name, text, labels=LABELS)
        for names, counts in self.operations.items():
            family.add_metric(names, getattr(counts, of))
        return family

    def _shown(self, name: str, text: str, of: str) -> Metric:
        family = GaugeMetricFamily(name, text, labels=LABELS)
        for names, counts in self.operations.items():
            family.add_metric(names, getattr(counts, of))
        return family

    def _timed(self, name: str, text: str, of: str) -> Metric:
        family = HistogramMetricFamily(name, text, labels=LABELS)
        for names, counts in self.operations.items():
            histogram: Histogram = getattr(counts, of)
            family.add_metric(names, histogram.buckets, histogram.sum)
        return family

    def _concurrency(self) -> Metric:
        family = GaugeMetricFamily(
            "service_concurrency_limit", "Places that a service allows, over all processes.", labels=("service",)
        )
        for service, places in self.concurrency().items():
            family.add_metric((service,), places)
        return family

    def _breakers(self) -> Metric:
        family = GaugeMetricFamily("service_breaker", "1 for the state of a breaker.", labels=(*LABELS, "state"))
        for names, counts in self.operations.items():
            now = counts.breaker()
            for state in BREAKER_STATES:
                family.add_metric((*names, state), state == now)
        return family
