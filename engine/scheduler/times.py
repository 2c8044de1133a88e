"""When a task is due: at an interval, or by cron in a time zone. A due time is an instant, in milliseconds.

A local time of day would not do: in the hour that clocks go through twice, it stands for two instants.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile

from cronsim import CronSim, CronSimError

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.zones import zone_of

INTERVAL_MS_MIN = 100
INTERVAL_MS_MAX = 366 * 86_400_000

COUNTED_MAX = 1_000
"""Due times of a cron that are counted, when some were missed: more count as so many. untuned: 20 ms of work."""

BACK_MS = tuple(hours * 3_600_000 for hours in (1, 24, 24 * 32, 24 * 366, 24 * 366 * 40))
"""How far back the last due time is looked for, when more than ``COUNTED_MAX`` have passed."""

CRON_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Passed:
    """Due times that are over.

    Attributes:
        newest_ms: The last of them; None: there is none.
        count: How many there are.
    """

    newest_ms: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Every:
    """Due at an interval, counted from an anchor.

    Attributes:
        interval_ms: Of the task as it is declared.
        interval_ms_max: How far it may be stretched while what it uses is short; 0: not at all.

    >>> Every(60_000).due_after(125_000, anchor_ms=5_000)
    185000
    >>> Every(60_000).passed(5_000, 125_000, anchor_ms=5_000)
    Passed(newest_ms=125000, count=2)
    """

    interval_ms: int
    interval_ms_max: int = 0

    def __post_init__(self) -> None:
        if not INTERVAL_MS_MIN <= self.interval_ms <= INTERVAL_MS_MAX:
            raise SettingsError(
                f"the interval is {self.interval_ms / 1_000:g} s; it must be between {INTERVAL_MS_MIN / 1_000:g} s "
                f"and {INTERVAL_MS_MAX // 86_400_000} days"
            )
        if self.interval_ms_max and not self.interval_ms <= self.interval_ms_max <= INTERVAL_MS_MAX:
            raise SettingsError(
                f"the interval may be stretched to {self.interval_ms_max / 1_000:g} s, which is below its "
                f"{self.interval_ms / 1_000:g} s or too long"
            )

    def due_after(self, at_ms: int, *, anchor_ms: int) -> int:
        """Return the first due time after an instant."""
        return anchor_ms + ((at_ms - anchor_ms) // self.interval_ms + 1) * self.interval_ms

    def passed(self, after_ms: int, until_ms: int, *, anchor_ms: int) -> Passed:
        """Return the due times after an instant, up to another one and with it."""
        first, last = ((at_ms - anchor_ms) // self.interval_ms for at_ms in (after_ms, until_ms))
        return Passed(anchor_ms + last * self.interval_ms, last - first) if last > first else Passed(None, 0)

    def apart_ms(self, at_ms: int) -> int:  # noqa: ARG002 - of a cron it depends on the time
        """Return how far the due times about an instant are apart."""
        return self.interval_ms

    def __str__(self) -> str:
        upper = f" to {self.interval_ms_max / 1_000:g} s" if self.interval_ms_max else ""
        return f"every {self.interval_ms / 1_000:g} s{upper}"


@dataclass(frozen=True, slots=True)
class Cron:
    """Due by a cron expression in a time zone, as Debian's cron has it where clocks change.

    What is due at a time of day that is skipped, is due when the clock jumps; what is due at one that comes twice, is
    due at the first. With ``*`` for the minute or the hour it is due at each.

    Attributes:
        expression: Five fields, or six with seconds first.
        zone: As in the tz database.

    >>> due_ms = Cron("30 8 * * MON-FRI", "Europe/Berlin").due_after(1_767_600_000_000, anchor_ms=0)
    >>> datetime.fromtimestamp(due_ms / 1_000, UTC).isoformat()
    '2026-01-06T07:30:00+00:00'
    """

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if len(self.expression) > CRON_LENGTH_MAX:
            raise SettingsError(
                f"the cron expression has {len(self.expression)} characters, not up to {CRON_LENGTH_MAX}"
            )
        zone_of(self.zone)
        try:
            next(self._after(0), None)
        except (CronSimError, ValueError, OverflowError) as error:
            raise SettingsError(f"the cron expression {self.expression!r} cannot be read: {error}") from None

    def due_after(self, at_ms: int, *, anchor_ms: int) -> int | None:  # noqa: ARG002 - only a grid has an anchor
        """Return the first due time after an instant; None if there is none in the next decades."""
        return next(self._after(at_ms), None)

    def passed(self, after_ms: int, until_ms: int, *, anchor_ms: int) -> Passed:  # noqa: ARG002 - likewise
        """Return the due times after an instant, up to another one and with it; ``COUNTED_MAX`` are counted at most."""
        count, newest_ms = 0, None
        for due_ms in self._after(after_ms):
            if due_ms > until_ms:
                return Passed(newest_ms, count)
            if count == COUNTED_MAX:
                break
            count, newest_ms = count + 1, due_ms
        return Passed(self._newest(until_ms) if count == COUNTED_MAX else newest_ms, count)

    def apart_ms(self, at_ms: int) -> int:
        """Return how far the next two due times after an instant are apart; of the last one, the longest interval."""
        due = list(islice(self._after(at_ms), 2))
        return due[1] - due[0] if len(due) > 1 else INTERVAL_MS_MAX

    def __str__(self) -> str:
        return f"cron {self.expression} in {self.zone}"

    def _newest(self, until_ms: int) -> int:
        """Return the last due time up to an instant; there is one."""
        for back_ms in BACK_MS:
            *_, newest_ms = 0, *takewhile(lambda ms: ms <= until_ms, self._after(until_ms - back_ms))
            if newest_ms:
                return newest_ms
        raise AssertionError(f"{self} was due before {until_ms}, but not in {BACK_MS[-1]} ms")

    def _after(self, at_ms: int) -> Iterator[int]:
        start = datetime.fromtimestamp(at_ms // 1_000 - 1, UTC).astimezone(zone_of(self.zone))
        instants = (int(each.timestamp()) * 1_000 for each in CronSim(self.expression, start))
        return (ms for ms in instants if ms > at_ms)


Times = Every | Cron


def stored(times: Times) -> str:
    """Return times as text from which ``read`` has them again.

    >>> stored(Every(60_000)), stored(Cron("0 9 * * *", "Europe/Berlin"))
    ('every 60000 0', 'cron Europe/Berlin 0 9 * * *')
    """
    if isinstance(times, Every):
        return f"every {times.interval_ms} {times.interval_ms_max}"
    return f"cron {times.zone} {times.expression}"


def read(text: str) -> Times:
    """Return times from their text.

    Raises:
        SettingsError: It says none.
    """
    kind, _, rest = text.partition(" ")
    first, _, second = rest.partition(" ")
    if kind == "every" and first.isdecimal() and second.isdecimal():
        return Every(int(first), int(second))
    if kind == "cron":
        return Cron(second, first)
    raise SettingsError(f"{text!r} is no time of a task")
