"""What is known of alerts, for all processes and after a restart: which are open, and what is still to be delivered.

An alert is written first. What is said of it is written with the mark that it was said, as one notice for each channel;
so it is said once, whatever processes do, and a notice outlives the process that wrote it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tempogram.engine.ports.task_store import TaskRow


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong now.

    Attributes:
        kind: Such as ``task_stalled``.
        key: What it is about, such as a task's name; empty: there is one of this kind.
        text: One plain sentence without a full stop.
    """

    kind: str
    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A finding that lasts, or lasted. Times are milliseconds since the epoch, 0: not yet.

    Attributes:
        said_at_ms: When a notice of its beginning was written.
        reminded_at_ms: When the last one was that it still lasts.
        end_said_at_ms: When one of its end was.
    """

    id: str
    kind: str
    key: str
    text: str
    opened_at_ms: int
    said_at_ms: int = 0
    reminded_at_ms: int = 0
    ended_at_ms: int = 0
    end_said_at_ms: int = 0


class Event(Enum):
    """What a notice says of its alerts."""

    OPENED = "opened"
    LASTS = "lasts"
    ENDED = "ended"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is said at once, of one alert or of several of a kind.

    Attributes:
        id: Sorts by the time at which it was written; the same at each try, so that a receiver knows it again.
        lines: A sentence for each alert; of very many, the first ones and how many more there are.
        keys: What the alerts are about, as far as there are lines of them.
        alerts: How many there are.
    """

    id: str
    event: Event
    kind: str
    lines: tuple[str, ...]
    keys: tuple[str, ...]
    alerts: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRow:
    """A notice on its way through one channel.

    Attributes:
        attempts: Tries that were begun. The fence: each try raises it by one.
        next_try_ms: Not before this time.
        is_set_aside: Later ones of the channel do not wait for it.
    """

    notice: Notice
    channel: str
    attempts: int = 0
    next_try_ms: int = 0
    is_set_aside: bool = False


class Mark(Enum):
    """What is noted of alerts together with a notice of it, and of which alerts it is true but not noted yet."""

    SAID = "said_at_ms"
    REMINDED = "reminded_at_ms"
    END_SAID = "end_said_at_ms"


class AlertStore(Protocol):
    """The rows of alerts. Each method raises ``LedgerError`` if the database refuses."""

    async def unfinished(self) -> list[Alert]:
        """Return the alerts that are open, and those whose beginning was said and whose end was not; oldest first."""

    async def open(self, alerts: Sequence[Alert]) -> None:
        """Write alerts, but for those of which one of the same kind and key is open."""

    async def end(self, alert_ids: Collection[str], at_ms: int) -> None:
        """Note when alerts ended, unless that was noted before."""

    async def say(self, mark: Mark, alerts: Sequence[Alert], at_ms: int, rows: Sequence[NoticeRow]) -> bool:
        """Mark alerts and write notices of it, all or nothing.

        Returns:
            False: One of the alerts has been marked since it was read. Nothing was written.
        """

    async def waiting(self, channels: Collection[str], now_ms: int, *, limit: int) -> list[NoticeRow]:
        """Return the notices that wait for these channels, the first ones of each, oldest first.

        Those that are set aside are left out until their next try.
        """

    async def next_try_ms(self, channels: Collection[str]) -> int | None:
        """Return when the next notice that waits for one of these channels may be tried; None: none waits."""

    async def claim(self, row: NoticeRow, until_ms: int) -> bool:
        """Begin the next try of a notice, which no other process makes until then; False: another one has begun it."""

    async def put_off(self, row: NoticeRow, next_try_ms: int, error: str, *, is_set_aside: bool) -> None:
        """Note that a try, of which ``row`` has the number, was for nothing; if it is still the last one."""

    async def finish(self, row: NoticeRow, at_ms: int, *, is_accepted: bool, error: str = "") -> None:
        """Note that a notice was accepted by its channel, or is given up."""

    async def sight(self, process: str, findings: Sequence[Finding], at_ms: int) -> None:
        """Note what a process finds in itself, in place of what it found before."""

    async def sighted(self, since_ms: int) -> list[Finding]:
        """Return what processes found in themselves since a time."""


@dataclass(frozen=True, slots=True)
class LongHold:
    """A bot of which nothing is sent, as Telegram asked."""

    bot_id: int
    name: str
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Troubles:
    """What the database shows at one moment.

    Attributes:
        tasks: Declared ones that are failing, or past their due time.
        bots_without_token: Id and name of those whose token Telegram refuses, or that cannot be read.
        dead: Messages that were given up within a time.
    """

    tasks: Sequence[TaskRow] = ()
    bots_without_token: Sequence[tuple[int, str]] = ()
    holds: Sequence[LongHold] = ()
    dead: int = 0


class AlertReadings(Protocol):
    """What is looked for in the database."""

    async def look(
        self, now_ms: int, *, tasks_now_ms: int, hold_over_ms: int, dead_since_ms: int, dead_up_to: int
    ) -> Troubles:
        """Read all of it at once: an idle fleet asks for it again and again.

        Args:
            now_ms: The time.
            tasks_now_ms: The time by the database's clock, which tasks keep.
            hold_over_ms: How long a hold lasts in all that is returned, if it is not over.
            dead_since_ms: From when on dead letters are counted.
            dead_up_to: Up to which number.

        Raises:
            LedgerError: The database refuses.
        """
