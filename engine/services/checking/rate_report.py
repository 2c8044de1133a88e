"""What was seen of a limit, and whether it held."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateReport:
    """What was seen of a limit; as text it is three sentences.

    Attributes:
        name: Of the operation, or of the limiter.
        expected_limit: Calls in any ``window_s``.
        duration_s: For how long it was called.
        calls: That began.
        most_in_window: That began in the fullest window, wherever it begins.
        share_used: Of the calls that the limit allows in that time; above 1 it leaked.
        wait_p50_s: How long those that began had waited; likewise the others.
    """

    name: str
    expected_limit: int
    window_s: float
    duration_s: float
    calls: int
    most_in_window: int
    share_used: float
    wait_p50_s: float
    wait_p95_s: float
    wait_p99_s: float
    wait_max_s: float

    @property
    def held(self) -> bool:
        return self.most_in_window <= self.expected_limit

    def __str__(self) -> str:
        word = "held" if self.held else "did not hold"
        return (
            f"The limit of {self.name} {word}: at most {_calls(self.most_in_window)} began "
            f"within {self.window_s:g} s, and {self.expected_limit} may. "
            f"In {self.duration_s:.1f} s {_calls(self.calls)} began, {self.share_used * 100:.0f} % of what it allows. "
            f"They had waited {self.wait_p50_s:.3f} s (p50), {self.wait_p95_s:.3f} s (p95), {self.wait_p99_s:.3f} s "
            f"(p99), {self.wait_max_s:.3f} s at the most."
        )


class LimitNotHeld(AssertionError):
    """More calls began within a window than its limit allows, or none at all, so that nothing was seen of it.

    Attributes:
        report: All figures.
    """

    def __init__(self, report: RateReport) -> None:
        super().__init__(_sentence(report))
        self.report = report


def _sentence(seen: RateReport) -> str:
    if not seen.calls:
        return f"no call of {seen.name} began within {seen.duration_s:g} s, so nothing was seen of its limit"
    return (
        f"the limit of {seen.name} did not hold: {_calls(seen.most_in_window)} began within {seen.window_s:g} s, "
        f"and {seen.expected_limit} may; in {seen.duration_s:.1f} s {seen.calls} began"
    )


def _calls(count: int) -> str:
    return f"{count} call{'' if count == 1 else 's'}"
