"""What a run did at Telegram's end, in numbers that a test or a benchmark can compare."""

from dataclasses import dataclass

from tempogram.simulator.limits.faults import Faults
from tempogram.simulator.limits.record import Duplicate, Record
from tempogram.simulator.limits.windows import MS, Busiest, Violation, Windows

VIOLATIONS_LISTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Sums over everything since the start or the last reset.

    ``by_code`` counts answers by HTTP status; "0" is a call dropped before it had any effect.
    ``lost`` counts calls whose answer was withheld on order; "reset_after" ones did have their effect.
    ``accepted`` counts calls that took places, ``places`` what they took (an album takes one for each item).
    ``accepted_by_second`` are places in each second since the first call.
    ``throttled`` counts 429s by cause: "window" broke one, "penalty" came during the wait for that,
    "ordered" is a fault's, "webhook" set webhooks too often.
    ``uploads`` counts files whose bytes came with a call, whatever was answered.
    ``out_of_order`` counts numbered texts that came after a higher number of the same prefix.
    """

    calls: int
    accepted: int
    places: int
    by_code: dict[str, int]
    by_method: dict[str, int]
    lost: dict[str, int]
    accepted_by_second: list[int]
    first_at_ms: float
    busiest_bot: Busiest
    busiest_group: Busiest
    busiest_total: Busiest
    violations: dict[str, int]
    violations_listed: list[Violation]
    throttled: dict[str, int]
    faults_ordered: int
    duplicates: int
    duplicates_listed: list[Duplicate]
    out_of_order: int
    updates_pending: int
    uploads: int = 0

    @property
    def broke_no_window(self) -> bool:
        """Tell whether every call came when it might; the ceiling over all bots counts too."""
        return not any(self.violations.values())


def report_of(record: Record, windows: Windows, faults: Faults, *, updates_pending: int) -> Report:
    """Write down where things stand; the report does not change afterwards."""
    return Report(
        calls=record.arrivals,
        accepted=record.accepted,
        places=record.places,
        by_code={str(code): calls for code, calls in sorted(record.by_code.items())},
        by_method=dict(record.by_method),
        lost=dict(record.lost),
        accepted_by_second=list(record.by_second),
        first_at_ms=record.first_ns / MS,
        busiest_bot=windows.busiest.get("bot", Busiest()),
        busiest_group=windows.busiest.get("group", Busiest()),
        busiest_total=windows.busiest.get("total", Busiest()),
        violations=dict(windows.violations_by_window),
        violations_listed=list(windows.violations)[-VIOLATIONS_LISTED:],
        throttled=dict(record.throttled),
        faults_ordered=faults.ordered,
        duplicates=record.duplicates,
        duplicates_listed=list(record.duplicates_listed),
        out_of_order=record.out_of_order,
        updates_pending=updates_pending,
        uploads=record.uploads,
    )
