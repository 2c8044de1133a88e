"""What arrived, counted from the planned instants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.harness import quantile
from bench.load.deliveries import Delivered
from bench.load.plan import PlannedUpdate
from tempogram.simulator.client import accepted
from tempogram.simulator.report import Report


@dataclass(frozen=True, slots=True)
class Answered:
    """The first arrival of an answer. ``after_ms`` is counted from the planned instant of its update."""

    update: PlannedUpdate
    after_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run that is over.

    Attributes:
        lost: Updates without an answer.
        duplicates: Answers that arrived again.
        unasked: Arrivals that answer nothing.
        last_ms: When the last answer arrived, after the beginning.
    """

    delivered: Sequence[Delivered]
    answered: Sequence[Answered]
    lost: Sequence[PlannedUpdate]
    duplicates: int
    unasked: int
    last_ms: float
    report: Report = field(repr=False)

    @property
    def throttled(self) -> int:
        return self.report.by_code.get("429", 0)

    @property
    def late_ms(self) -> list[float]:
        return [each.late_ms for each in self.delivered]

    @property
    def taken_ms(self) -> list[float]:
        return [each.taken_ms for each in self.delivered]

    @property
    def redelivered(self) -> int:
        return sum(each.tries - 1 for each in self.delivered)

    def after_ms(self, *, is_addressed: bool | None = None) -> list[float]:
        """Return how long answers took; of high priority only, of normal only, or all."""
        return [
            each.after_ms for each in self.answered if is_addressed is None or each.update.is_addressed is is_addressed
        ]

    def busy_share(self, ceiling: int) -> float:
        """Return how much of a ceiling was used, the first second and the last not counted."""
        counts = self.report.accepted_by_second[1:-1]
        return sum(counts) / (ceiling * len(counts)) if counts else 0.0


def result_of(
    updates: Sequence[PlannedUpdate],
    delivered: Sequence[Delivered],
    calls: Sequence[Mapping[str, Any]],
    report: Report,
    *,
    began_ms: float,
    username: Callable[[int], str],
) -> Result:
    """Compare what was planned with what the simulator saw; its times are of the same monotonic clock."""
    arrived = accepted(dict(call) for call in calls)
    times_ms: dict[tuple[int, int, str], list[float]] = {}
    for call in arrived:
        key = call["bot_id"], call["chat_id"], call["text"]
        times_ms.setdefault(key, []).append(call["at_ms"] - began_ms)
    keys = {(each.bot_id, each.chat_id, each.text(username(each.bot_id))): each for each in updates}
    return Result(
        delivered=delivered,
        answered=[Answered(each, times_ms[key][0] - each.due_ms) for key, each in keys.items() if key in times_ms],
        lost=[each for key, each in keys.items() if key not in times_ms],
        duplicates=sum(len(times) - 1 for key, times in times_ms.items() if key in keys),
        unasked=sum(len(times) for key, times in times_ms.items() if key not in keys),
        last_ms=max((times[0] for times in times_ms.values()), default=0.0),
        report=report,
    )


def quantiles(values: Sequence[float]) -> str:
    """Write down the quantiles of times in milliseconds.

    >>> quantiles([float(number) for number in range(1, 101)])
    'p50 51, p90 91, p99 100, max 100 ms'
    """
    if not values:
        return "none"
    shares = ", ".join(f"p{share * 100:.0f} {quantile(values, share):.0f}" for share in (0.5, 0.9, 0.99))
    return f"{shares}, max {max(values):.0f} ms"


def most_lost(lost: Sequence[PlannedUpdate]) -> str:
    """Count, and name the bots of most."""
    bots = Counter(each.bot_id for each in lost).most_common(3)
    named = ", ".join(f"bot {bot_id}: {count}" for bot_id, count in bots)
    return f"{len(lost)} ({named})" if lost else "0"
