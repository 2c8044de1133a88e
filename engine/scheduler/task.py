"""A task: what is done, and when; checked when it is declared."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.times import Cron, Every, Times

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")

TIMEOUT_MS_MAX = 24 * 3_600_000

CATCH_UP_MS = 3_600_000
"""How old a missed due time may be to be caught up, unless its task says so. untuned: a deploy is over by then; and a
greeting of the morning is not sent at night."""

Next = datetime | timedelta | None
"""What a task may return: when it wants to run next, as an instant, or in how long. Anything else says nothing."""

Work = Callable[[], Awaitable[Any]] | Callable[[], Any]


class Overrun(Enum):
    """What is done when a task is due while its last run is still going."""

    SKIP = "skip"
    """Nothing: it runs when it is due the next time."""
    QUEUE = "queue"
    """It runs once more as soon as the last run has ended."""
    CANCEL = "cancel"
    """The last run is cancelled, and it runs once that has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is done, and when.

    Attributes:
        name: Unique in the whole fleet.
        times: When it is due.
        work: An async function, or a plain one, which runs in a thread of its own.
        on_overrun: See ``Overrun``.
        jitter_ms: It begins up to so long after it is due, at random, so that tasks of one interval do not meet.
        timeout_ms: Of one attempt; then it is cancelled.
        max_retries: Further attempts of a run that failed, 1, 2, 4 … seconds apart.
        catch_up_ms: How old a missed due time may be to be caught up.
        at_start: It runs when the program starts, besides its times.
        is_idempotent: A run whose process died is repeated; else it is counted as lost.
        pause_after: After so many failures in a row it is failing, and pauses for ``pause_ms``; 0: it never pauses.
        pause_ms: How long it pauses; doubled for each further failure, up to ``PAUSE_MS_MAX``.
        well_after: After so many successes in a row it counts as well again.
        env: The name of a variable of the environment with the interval in milliseconds, if it has one.
        uses: How many calls of which budget a run makes: ``{"x:mentions": 1}``.
        has_own_thread: It runs in an event loop of its own; None: from when it has blocked that of the others on.
    """

    name: str
    times: Times
    work: Work = field(repr=False)
    on_overrun: Overrun = Overrun.SKIP
    jitter_ms: int = 0
    timeout_ms: int = 60_000
    max_retries: int = 0
    catch_up_ms: int = CATCH_UP_MS
    at_start: bool = False
    is_idempotent: bool = False
    pause_after: int = 5
    pause_ms: int = 60_000
    well_after: int = 2
    env: str | None = None
    uses: Mapping[str, int] = field(default_factory=dict)
    has_own_thread: bool | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SettingsError(
                f"{self.name!r} is no name of a task; use up to 64 letters, digits, dots, colons, _ and -, "
                "and begin with a letter"
            )
        for name, most in (
            ("jitter_ms", 86_400_000),
            ("max_retries", 100),
            ("catch_up_ms", 366 * 86_400_000),
            ("pause_after", 1_000_000),
            ("pause_ms", 86_400_000),
        ):
            self._check(name, 0, most)
        self._check("timeout_ms", 1, TIMEOUT_MS_MAX)
        self._check("well_after", 1, 1_000_000)
        if isinstance(self.times, Every) and self.jitter_ms >= self.times.interval_ms:
            raise SettingsError(
                f"the jitter of {self.name} is {self.jitter_ms / 1_000:g} s; it must be shorter than its interval, "
                f"{self.times.interval_ms / 1_000:g} s"
            )
        if self.env is not None and isinstance(self.times, Cron):
            raise SettingsError(f"{self.name} is due by cron, so {self.env} cannot have its interval; leave env out")

    def _check(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise SettingsError(f"{name} of {self.name} is {value!r}; it must be a whole number from {least} to {most}")
