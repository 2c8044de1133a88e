"""The metrics of a process: counted at the transport and the dispatcher, shown as Prometheus text or JSON.

    telegram_429_count                                    calls answered with 429 (too many requests)
    telegram_5xx_count                                    calls answered with a 5xx
    telegram_rate_limited_drops                           messages refused because too many were waiting
    telegram_messages_total{bot, priority, outcome}       calls, by outcome
    telegram_wait_seconds{priority}                       from submission, or the time a message is for, to its sending
    telegram_send_seconds{method}                         duration of one call
    telegram_waiting{priority}                            messages that wait for their first attempt, or are leased
    telegram_retry_waiting                                messages that wait for another attempt
    telegram_leased                                       messages in flight
    telegram_bot_failing{bot}                             1 while the calls of a bot fail and it is tried now and then
    telegram_adapted_limit{bot}                           calls a window, while a 429 has lowered a bot's limit
    telegram_paid_messages_total{bot}                     paid messages
    telegram_paid_stars{bot}                              most Stars that may have been spent in the last 24 h
    telegram_handlers{state}                              handlers of updates that run, or wait for what
    telegram_refused_tokens_total                         bearer tokens of the HTTP API that were refused
    telegram_dead_letters                                 messages given up on, kept until replayed or purged
    telegram_alerts_open{kind}                            alerts that are open, in the process that looks for them
    telegram_broadcasts{state}                            those that run or are being stopped, where they are fed
    telegram_broadcast_recipients_left                    recipients of those that run, without an outcome so far
    telegram_broadcast_recipients{outcome}                and those with one
    telegram_alert_deliveries_total{channel, outcome}     tries to bring a notice to a channel
    telegram_condition{condition}                         1 while the condition holds; see ``resilience.conditions``

Those of calls to other services stand in ``service_metrics``, those of tasks in ``task_metrics``, those of
watches in ``watch_metrics``.

Every name is an interface: dashboards and alerts depend on it. No label ever names a chat.

The first three are sums over all processes where the API of several serves them (``fleet_counts``); all other counters
are of the process that is asked, and gauges of the queue and the ledger are the same in each.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tempogram.engine.limits.limits import PLACES_A_STAR
from tempogram.engine.model.messages import PRIORITIES, Lease, Outgoing, Priority
from tempogram.engine.model.outcomes import Answer, Failed, HalfSent, Outcome, Overdue, Sent, Throttled, Unready
from tempogram.engine.model.watches import WatchCounts
from tempogram.engine.observability.cache_metrics import CacheMetrics
from tempogram.engine.observability.histogram import Histogram
from tempogram.engine.observability.service_metrics import ServiceMetrics
from tempogram.engine.observability.task_metrics import Statuses, TaskMetrics
from tempogram.engine.observability.watch_metrics import WatchMetrics
from tempogram.engine.observability.watch_metrics import gauges as watch_gauges
from tempogram.engine.ports import Clock, MayWrite, QueueStats, Transport
from tempogram.engine.resilience.conditions import Condition

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

THROTTLED, SERVER_ERRORS, DROPS = "telegram_429_count", "telegram_5xx_count", "telegram_rate_limited_drops"

WAIT_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""From "at once" over one group window (60 s) to a long broadcast."""

SEND_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Up to TELEGRAM_TIMEOUT."""


@dataclass(slots=True)
class Metrics:
    """Counters as plain numbers, because counting happens on every call.

    Attributes:
        handlers: Counts the handlers of updates by their state; set by what runs them.
        services: Of calls to other services.
        cache: Of answers that are kept.
        alerts_open: Counts the open alerts by their kind; set by what looks for them.
        broadcasts: Counts the active broadcasts by their state; set by what feeds the queue with them.
        recipients_left: Counts what is left of them; likewise.
        recipients_ended: Counts the recipients of those that run by their outcome; likewise.
        tasks: Of runs of tasks.
        watches: Of items that are watched.
        changed: Set when one of ``shared`` has grown.
    """

    throttled: int = 0
    server_errors: int = 0
    drops: int = 0
    refused_tokens: int = 0
    calls: dict[tuple[int, Priority, str], int] = field(default_factory=lambda: defaultdict(int))
    waits: dict[Priority, Histogram] = field(
        default_factory=lambda: {priority: Histogram(WAIT_S) for priority in PRIORITIES}
    )
    paid: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    sends: dict[str, Histogram] = field(default_factory=lambda: defaultdict(lambda: Histogram(SEND_S)))
    handlers: Callable[[], Mapping[str, int]] = dict
    services: ServiceMetrics = field(default_factory=ServiceMetrics)
    cache: CacheMetrics = field(default_factory=CacheMetrics)
    alerts_open: Callable[[], Mapping[str, int]] = dict
    broadcasts: Callable[[], Mapping[str, int]] = dict
    recipients_left: Callable[[], int] = int
    recipients_ended: Callable[[], Mapping[str, int]] = dict
    alert_deliveries: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    tasks: TaskMetrics = field(default_factory=TaskMetrics)
    watches: WatchMetrics = field(default_factory=WatchMetrics)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def shared(self) -> dict[str, int]:
        """What is summed up over all processes."""
        return {THROTTLED: self.throttled, SERVER_ERRORS: self.server_errors, DROPS: self.drops}

    def count_drops(self, messages: int) -> None:
        self.drops += messages
        self.changed.set()

    def count_refused_token(self) -> None:
        self.refused_tokens += 1

    def count_alert_delivery(self, channel: str, outcome: str) -> None:
        self.alert_deliveries[channel, outcome] += 1

    def count_call(self, message: Outgoing, outcome: Outcome, *, took_ms: int, now_ms: int) -> None:
        self.calls[message.bot_id, message.priority, type(outcome).__name__.lower()] += 1
        if isinstance(outcome, Overdue | Unready):
            return
        self.sends[message.method].observe(took_ms / 1_000)
        why = outcome.cause if isinstance(outcome, HalfSent) else outcome
        if isinstance(outcome, Sent):
            waited_ms = now_ms - max(message.submitted_at_ms, message.ready_at_ms)
            self.waits[message.priority].observe(max(0, waited_ms) / 1_000)
        elif isinstance(why, Throttled):
            self.throttled += 1
            self.changed.set()
        elif isinstance(outcome, Failed) and outcome.code is not None and outcome.code >= 500:
            self.server_errors += 1
            self.changed.set()


class ObservedTransport:
    """See ``Transport``; counts every call."""

    def __init__(self, transport: Transport, metrics: Metrics, clock: Clock) -> None:
        self._transport = transport
        self._metrics = metrics
        self._clock = clock

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        started_at_ms = self._clock()
        answer = await self._transport.send(lease, may_write)
        now_ms = self._clock()
        self._metrics.count_call(lease.message, answer.outcome, took_ms=now_ms - started_at_ms, now_ms=now_ms)
        if lease.message.is_paid and answer.counted_at_ms is not None:
            self._metrics.paid[lease.message.bot_id] += lease.message.cost
        return answer


class EngineCollector:
    """Collects the counters of this process, and what the broker and the ledger count, for Prometheus.

    Args:
        queue: From the broker; None leaves its gauges out, because a wrong 0 is worse than a gap.
        dead: Dead letters, from the ledger; None leaves the gauge out.
        conditions: Those that hold in this process.
        statuses: Of tasks and loops, from the database; None leaves them out.
        watched: What is watched, from the database; None leaves it out.
        shared: Of all processes, in place of those that this one has counted.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        queue: QueueStats | None,
        dead: int | None,
        conditions: Collection[Condition],
        statuses: Statuses | None = None,
        watched: WatchCounts | None = None,
        shared: Mapping[str, int] | None = None,
    ) -> None:
        self._metrics = metrics
        self._shared = metrics.shared if shared is None else shared
        self._queue = queue
        self._dead = dead
        self._conditions = conditions
        self._statuses = statuses
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._alerts()
        yield from self._broadcasts()
        yield self._shown_conditions()
        yield self._shown_handlers()
        yield from self._histograms()
        yield from self._gauges()
        yield from self._metrics.services.collect()
        yield from self._metrics.cache.collect()
        yield from self._metrics.tasks.collect()
        yield from self._metrics.watches.collect()
        if self._watched is not None:
            yield from watch_gauges(self._watched)
        if self._statuses is not None:
            yield from self._statuses.collect()

    def _counters(self) -> Iterator[Metric]:
        metrics, shared = self._metrics, self._shared
        # Untyped, because Prometheus' client gives every counter a name that ends in ``_total``.
        throttled = "Calls that Telegram answered with 429 (too many requests)."
        yield UnknownMetricFamily(THROTTLED, throttled, shared[THROTTLED])
        server_errors = "Calls that Telegram answered with a 5xx."
        yield UnknownMetricFamily(SERVER_ERRORS, server_errors, shared[SERVER_ERRORS])
        yield UnknownMetricFamily(DROPS, "Messages refused because too many were waiting.", shared[DROPS])
        calls = CounterMetricFamily(
            "telegram_messages", "Calls to Telegram, by outcome.", labels=("bot", "priority", "outcome")
        )
        for (bot_id, priority, outcome), count in metrics.calls.items():
            calls.add_metric((str(bot_id), priority.value, outcome), count)
        yield calls
        paid = CounterMetricFamily("telegram_paid_messages", "Paid messages (paid broadcasts) sent.", labels=("bot",))
        for bot_id, count in metrics.paid.items():
            paid.add_metric((str(bot_id),), count)
        yield paid
        yield CounterMetricFamily(
            "telegram_refused_tokens", "Bearer tokens of the HTTP API that were refused.", metrics.refused_tokens
        )

    def _alerts(self) -> Iterator[Metric]:
        shown = GaugeMetricFamily("telegram_alerts_open", "Alerts that are open; see /alerts.", labels=("kind",))
        for kind, count in self._metrics.alerts_open().items():
            shown.add_metric((kind,), count)
        yield shown
        tries = CounterMetricFamily(
            "telegram_alert_deliveries", "Tries to bring a notice to a channel.", labels=("channel", "outcome")
        )
        for labels, count in self._metrics.alert_deliveries.items():
            tries.add_metric(labels, count)
        yield tries

    def _broadcasts(self) -> Iterator[Metric]:
        shown = GaugeMetricFamily(
            "telegram_broadcasts", "Broadcasts that run, or are being stopped.", labels=("state",)
        )
        for state, count in self._metrics.broadcasts().items():
            shown.add_metric((state,), count)
        yield shown
        yield GaugeMetricFamily(
            "telegram_broadcast_recipients_left",
            "Recipients of those that run, without an outcome so far.",
            self._metrics.recipients_left(),
        )
        ended = GaugeMetricFamily(
            "telegram_broadcast_recipients", "Recipients of those that run, by outcome.", labels=("outcome",)
        )
        for outcome, count in self._metrics.recipients_ended().items():
            ended.add_metric((outcome,), count)
        yield ended

    def _shown_conditions(self) -> Metric:
        shown = GaugeMetricFamily(
            "telegram_condition", "1 while the condition holds; see /health.", labels=("condition",)
        )
        for condition in Condition:
            shown.add_metric((condition.value,), condition in self._conditions)
        return shown

    def _shown_handlers(self) -> Metric:
        shown = GaugeMetricFamily(
            "telegram_handlers", "Handlers that run, wait for a place, or wait for the queue.", labels=("state",)
        )
        for state, count in self._metrics.handlers().items():
            shown.add_metric((state,), count)
        return shown

    def _histograms(self) -> Iterator[Metric]:
        waits = HistogramMetricFamily(
            "telegram_wait_seconds",
            "Seconds from submission, or from the time a message is for, until it was sent.",
            labels=("priority",),
        )
        for priority, waited in self._metrics.waits.items():
            waits.add_metric((priority.value,), waited.buckets, waited.sum)
        yield waits
        sends = HistogramMetricFamily(
            "telegram_send_seconds", "Seconds that one call to Telegram took.", labels=("method",)
        )
        for method, took in self._metrics.sends.items():
            sends.add_metric((method,), took.buckets, took.sum)
        yield sends

    def _gauges(self) -> Iterator[Metric]:
        if self._queue is not None:
            waiting = GaugeMetricFamily(
                "telegram_waiting", "Messages that wait for their first attempt, or are leased.", labels=("priority",)
            )
            for priority in PRIORITIES:
                waiting.add_metric((priority.value,), self._queue.waiting.get(priority, 0))
            yield waiting
            yield GaugeMetricFamily(
                "telegram_retry_waiting", "Messages that were tried and wait for another attempt.", self._queue.retry
            )
            if self._queue.leased is not None:
                yield GaugeMetricFamily("telegram_leased", "Messages in flight.", self._queue.leased)
            adapted = GaugeMetricFamily(
                "telegram_adapted_limit",
                "Calls that a bot may make in a window, while a 429 has lowered its limit.",
                labels=("bot",),
            )
            for bot_id, places in self._queue.adapted.items():
                adapted.add_metric((str(bot_id),), places)
            yield adapted
            failing = GaugeMetricFamily(
                "telegram_bot_failing", "1 while a bot's calls fail and it is tried now and then.", labels=("bot",)
            )
            for bot_id in self._queue.failing:
                failing.add_metric((str(bot_id),), 1)
            yield failing
            stars = GaugeMetricFamily(
                "telegram_paid_stars",
                "Most Stars that may have been spent on paid messages in the last 24 h.",
                labels=("bot",),
            )
            for bot_id, places in self._queue.paid.items():
                stars.add_metric((str(bot_id),), places / PLACES_A_STAR)
            yield stars
        if self._dead is not None:
            yield GaugeMetricFamily(
                "telegram_dead_letters", "Messages given up on, kept until they are replayed or purged.", self._dead
            )


def as_text(collector: EngineCollector) -> bytes:
    """Return Prometheus' text format. Its registry is not the global one, which another program may use as well."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)


def as_flat(collector: EngineCollector) -> dict[str, float]:
    """Return the same numbers under the same names, each with its labels as in the text format.

    >>> flat = as_flat(EngineCollector(Metrics(drops=2), queue=None, dead=1, conditions=()))
    >>> flat["telegram_rate_limited_drops"], flat["telegram_dead_letters"]
    (2, 1)
    """
    return dict(_flat(collector.collect()))


def _flat(families: Iterable[Metric]) -> Iterator[tuple[str, float]]:
    for family in families:
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value
