"""What is counted, by wrapping the transport and by the dispatcher, and how it is shown.

    telegram_429_count                                    calls that Telegram throttled
    telegram_5xx_count                                    calls that Telegram answered with a 5xx
    telegram_rate_limited_drops                           messages refused because too many waited
    telegram_messages_total{bot, priority, outcome}       calls, by what Telegram answered
    telegram_wait_seconds{priority}                       from submitted (or scheduled for) to sent
    telegram_send_seconds{method}                         one call
    telegram_waiting{priority}                            open messages that were not tried yet, or are leased
    telegram_retry_waiting                                tried, and waiting to be tried again
    telegram_leased                                       in flight
    telegram_adapted_limit{bot}                           places a window, while a 429 has lowered a bot's limit
    telegram_paid_messages_total{bot}                     messages that Telegram counted as paid ones
    telegram_paid_stars{bot}                              Stars spent on them in the last 24 h, at most
    telegram_dead_letters                                 given up on, kept for a look and a replay
    telegram_condition{condition}                         1 while it holds; see ``conditions``

Every name is an interface: dashboards and alerts hang on it. No label ever names a chat.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

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
from tempogram.engine.model.outcomes import Answer, Failed, HalfSent, Outcome, Overdue, Sent, Throttled
from tempogram.engine.ports import Clock, MayWrite, QueueStats, Transport
from tempogram.engine.resilience.conditions import Condition

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

WAIT_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""From "at once" over one group window (60 s) to a long broadcast."""

SEND_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Up to TELEGRAM_TIMEOUT."""


class Histogram:
    """How many values fell below each bound."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    @property
    def sum(self) -> float:
        return self._sum

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Return each bound with how many values were not above it, as Prometheus wants them.

        >>> histogram = Histogram((0.1, 1.0))
        >>> histogram.observe(0.1)
        >>> histogram.observe(7)
        >>> histogram.buckets
        [('0.1', 1), ('1.0', 1), ('+Inf', 2)]
        """
        names = [*(str(bound) for bound in self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


@dataclass(slots=True)
class Metrics:
    """Plain counters: what is counted on every call must cost next to nothing."""

    throttled: int = 0
    server_errors: int = 0
    drops: int = 0
    calls: dict[tuple[int, Priority, str], int] = field(default_factory=lambda: defaultdict(int))
    waits: dict[Priority, Histogram] = field(
        default_factory=lambda: {priority: Histogram(WAIT_S) for priority in PRIORITIES}
    )
    paid: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    sends: dict[str, Histogram] = field(default_factory=lambda: defaultdict(lambda: Histogram(SEND_S)))

    def count_drops(self, messages: int) -> None:
        self.drops += messages

    def count_call(self, message: Outgoing, outcome: Outcome, *, took_ms: int, now_ms: int) -> None:
        self.calls[message.bot_id, message.priority, type(outcome).__name__.lower()] += 1
        if isinstance(outcome, Overdue):
            return
        self.sends[message.method].observe(took_ms / 1_000)
        why = outcome.cause if isinstance(outcome, HalfSent) else outcome
        if isinstance(outcome, Sent):
            waited_ms = now_ms - max(message.submitted_at_ms, message.ready_at_ms)
            self.waits[message.priority].observe(max(0, waited_ms) / 1_000)
        elif isinstance(why, Throttled):
            self.throttled += 1
        elif isinstance(outcome, Failed) and outcome.code is not None and outcome.code >= 500:
            self.server_errors += 1


class ObservedTransport:
    """See ``Transport``; counts every call that passes."""

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
    """Shows the counters, and what the broker and the ledger count, under Prometheus' names.

    Args:
        metrics: Of this process.
        queue: What the broker says; None leaves its gauges out, because a wrong 0 is worse than a gap.
        dead: What the ledger says; None likewise.
        conditions: What is wrong just now in this process.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        queue: QueueStats | None,
        dead: int | None,
        conditions: Collection[Condition] = (),
    ) -> None:
        self._metrics = metrics
        self._queue = queue
        self._dead = dead
        self._conditions = conditions

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield self._shown_conditions()
        yield from self._histograms()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        metrics = self._metrics
        # Untyped, because Prometheus' client gives every counter a name that ends in ``_total``.
        yield UnknownMetricFamily("telegram_429_count", "Calls that Telegram throttled.", metrics.throttled)
        yield UnknownMetricFamily(
            "telegram_5xx_count", "Calls that Telegram answered with a 5xx.", metrics.server_errors
        )
        yield UnknownMetricFamily(
            "telegram_rate_limited_drops", "Messages refused because too many waited.", metrics.drops
        )
        calls = CounterMetricFamily(
            "telegram_messages", "Calls, by what Telegram answered.", labels=("bot", "priority", "outcome")
        )
        for (bot_id, priority, outcome), count in metrics.calls.items():
            calls.add_metric((str(bot_id), priority.value, outcome), count)
        yield calls
        paid = CounterMetricFamily("telegram_paid_messages", "Messages counted as paid ones.", labels=("bot",))
        for bot_id, count in metrics.paid.items():
            paid.add_metric((str(bot_id),), count)
        yield paid

    def _shown_conditions(self) -> Metric:
        shown = GaugeMetricFamily("telegram_condition", "1 while it holds; see /health.", labels=("condition",))
        for condition in Condition:
            shown.add_metric((condition.value,), condition in self._conditions)
        return shown

    def _histograms(self) -> Iterator[Metric]:
        waits = HistogramMetricFamily(
            "telegram_wait_seconds", "From submitted, or scheduled for, to sent.", labels=("priority",)
        )
        for priority, waited in self._metrics.waits.items():
            waits.add_metric((priority.value,), waited.buckets, waited.sum)
        yield waits
        sends = HistogramMetricFamily("telegram_send_seconds", "One call.", labels=("method",))
        for method, took in self._metrics.sends.items():
            sends.add_metric((method,), took.buckets, took.sum)
        yield sends

    def _gauges(self) -> Iterator[Metric]:
        if self._queue is not None:
            waiting = GaugeMetricFamily("telegram_waiting", "Open messages, by priority.", labels=("priority",))
            for priority in PRIORITIES:
                waiting.add_metric((priority.value,), self._queue.waiting.get(priority, 0))
            yield waiting
            yield GaugeMetricFamily(
                "telegram_retry_waiting", "Tried, and waiting to be tried again.", self._queue.retry
            )
            yield GaugeMetricFamily("telegram_leased", "In flight.", self._queue.leased)
            adapted = GaugeMetricFamily(
                "telegram_adapted_limit", "Places a window, while a 429 has lowered a bot's limit.", labels=("bot",)
            )
            for bot_id, places in self._queue.adapted.items():
                adapted.add_metric((str(bot_id),), places)
            yield adapted
            stars = GaugeMetricFamily(
                "telegram_paid_stars", "Stars spent on paid messages in the last 24 h, at most.", labels=("bot",)
            )
            for bot_id, places in self._queue.paid.items():
                stars.add_metric((str(bot_id),), places / PLACES_A_STAR)
            yield stars
        if self._dead is not None:
            yield GaugeMetricFamily("telegram_dead_letters", "Given up on, and kept.", self._dead)


def as_text(collector: EngineCollector) -> bytes:
    """Return Prometheus' text form. A registry of its own, so that no two programs in one process meet."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)


def as_flat(collector: EngineCollector) -> dict[str, float]:
    """Return the same numbers under the same names, each with its labels as the text form writes them.

    >>> flat = as_flat(EngineCollector(Metrics(drops=2), queue=None, dead=1))
    >>> flat["telegram_rate_limited_drops"], flat["telegram_dead_letters"]
    (2, 1)
    """
    return dict(_flat(collector.collect()))


def _flat(families: Iterable[Metric]) -> Iterator[tuple[str, float]]:
    for family in families:
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value
