"""The result in words and as JSON, and whether all held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tempogram.bot.commands.load.plan import Plan
from tempogram.bot.commands.load.seen import Seen
from tempogram.engine.services.checking.fullest_window import allowed

LATE_MS = 10.0
"""Less is the event loop's, and not worth a line."""

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and whether it did."""

    name: str
    held: bool
    sentence: str


def checks(seen: Seen) -> list[Check]:
    """Judge what was seen; what was not asked for is not judged, but for errors."""
    return [each for each in (_answers(seen), _limit(seen), _p99(seen), _errors(seen)) if each is not None]


def in_words(seen: Seen) -> str:
    return "\n".join([*_figures(seen), *_judged(checks(seen))])


def as_json(plan: Plan, seen: Seen) -> dict[str, Any]:
    """Return every figure; times are milliseconds but where the name says seconds."""
    judged = checks(seen)
    return {
        "method": plan.method,
        "url": plan.shown_url,
        "requests": seen.begun,
        "answered": seen.answered,
        "took_s": round(seen.took_s, 3),
        "rate_per_s": round(_rate(seen), 2),
        "statuses": {str(status): count for status, count in sorted(seen.statuses.items())},
        "unanswered": dict(seen.unanswered),
        "errors": seen.errors,
        "latency_ms": {name: round(ms, 3) for name, ms in _latency(seen)},
        "began_late_ms_max": round(seen.late.most_s * 1_000, 3),
        "limit": _limit_figures(seen),
        "checks": [asdict(each) for each in judged],
        "held": all(each.held for each in judged),
        "interrupted": seen.is_interrupted,
    }


def _figures(seen: Seen) -> Iterator[str]:
    stopped = ", interrupted" if seen.is_interrupted else ""
    yield f"  {_requests(seen.begun)} in {seen.took_s:.2f} s{stopped}, {_rate(seen):,.1f} answers a second"
    yield f"  statuses   {_counts(seen.statuses) or 'none'}"
    if seen.unanswered:
        yield f"  no answer  {_counts(seen.unanswered)}"
    if left := seen.begun - seen.ended:
        yield f"  cut off    {left:,}"
    if seen.latency.count:
        yield f"  latency    {'   '.join(f'{name} {_ms(ms)}' for name, ms in _latency(seen))}"
    if seen.late.most_s * 1_000 > LATE_MS:
        late = f"p99 {_ms(seen.late.quantile_s(0.99) * 1_000)}, max {_ms(seen.late.most_s * 1_000)}"
        yield f"  began late {late}"


def _judged(judged: list[Check]) -> Iterator[str]:
    yield ""
    for each in judged:
        yield f"  {'held' if each.held else 'did not hold':<14}{each.name}: {each.sentence}"


def _answers(seen: Seen) -> Check | None:
    if seen.answered:
        return None
    return Check("answers", seen.is_interrupted, "no request had an answer")


def _limit(seen: Seen) -> Check | None:
    figures = _limit_figures(seen)
    if figures is None:
        return None
    sentence = (
        f"at most {figures['most_in_window']:,} answers but 429s in any {figures['window_s']:g} s, "
        f"{figures['limit']:,} allowed; {figures['share_used'] * 100:.0f} % of it used"
    )
    return Check("limit", figures["held"], sentence)


def _limit_figures(seen: Seen) -> dict[str, Any] | None:
    limit, window_s = seen.bounds.limit, seen.bounds.window_s
    if limit is None:
        return None
    return {
        "limit": limit,
        "window_s": window_s,
        "held": seen.window.most <= limit,
        "most_in_window": seen.window.most,
        "share_used": round(seen.let_through / allowed(limit, window_s, seen.took_s), 4),
    }


def _p99(seen: Seen) -> Check | None:
    most_ms = seen.bounds.p99_max_ms
    if most_ms is None:
        return None
    p99_ms = seen.latency.quantile_s(0.99) * 1_000
    return Check("p99", p99_ms <= most_ms, f"{_ms(p99_ms)}, {_ms(most_ms)} allowed")


def _errors(seen: Seen) -> Check:
    most = seen.bounds.errors_allowed(seen.ended)
    return Check("errors", seen.errors <= most, f"{seen.errors:,} of {_requests(seen.ended)}, {most:,} allowed")


def _latency(seen: Seen) -> Iterator[tuple[str, float]]:
    for name, share in QUANTILES.items():
        yield name, seen.latency.quantile_s(share) * 1_000
    yield "max", seen.latency.most_s * 1_000


def _rate(seen: Seen) -> float:
    return seen.answered / seen.took_s if seen.took_s else 0.0


def _counts(counts: Any) -> str:
    return "   ".join(f"{name}: {count:,}" for name, count in sorted(counts.items()))


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def _ms(ms: float) -> str:
    """Write milliseconds.

    >>> _ms(0.234), _ms(23.44), _ms(2344.0)
    ('0.2 ms', '23.4 ms', '2,344 ms')
    """
    return f"{ms:,.0f} ms" if ms >= 100 else f"{ms:.1f} ms"
