"""What begins and what ends, once so many checks in a row agree."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tempogram.engine.alerts.kinds import checks_of
from tempogram.engine.ports.alert_store import Alert, Finding

Subject = tuple[str, str]
"""Kind and key."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What changes after a check."""

    begins: Sequence[Finding]
    ends: Sequence[Alert]


class Streaks:
    """Counts checks in a row. Another process that takes over counts anew.

    Args:
        after: Checks after which something begins or ends, but for kinds that are sure.
    """

    def __init__(self, after: int) -> None:
        self._after = after
        self._found: dict[Subject, int] = {}
        self._missed: dict[Subject, int] = {}

    def judge(self, found: Collection[Finding], open_alerts: Collection[Alert], unknown: Collection[str]) -> Judged:
        """Count one check.

        Args:
            found: What it found.
            open_alerts: Those that have begun and not ended.
            unknown: Kinds that it could not look for: of these nothing begins, ends or is forgotten.
        """
        of = {(each.kind, each.key): each for each in found}
        already = {(each.kind, each.key): each for each in open_alerts}
        self._found = self._counted(self._found, of.keys() - already.keys(), unknown)
        self._missed = self._counted(self._missed, already.keys() - of.keys(), unknown)
        return Judged(
            begins=[of[each] for each in of if self._is_enough(self._found, each)],
            ends=[already[each] for each in already if self._is_enough(self._missed, each)],
        )

    def _counted(
        self, counts: dict[Subject, int], now: Collection[Subject], unknown: Collection[str]
    ) -> dict[Subject, int]:
        kept = {each: count for each, count in counts.items() if each[0] in unknown}
        return kept | {each: counts.get(each, 0) + 1 for each in now if each[0] not in unknown}

    def _is_enough(self, counts: dict[Subject, int], subject: Subject) -> bool:
        return counts.get(subject, 0) >= checks_of(subject[0], self._after)
