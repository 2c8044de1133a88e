"""What is said of alerts, and when."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tempogram.engine.alerts.durations import in_words
from tempogram.engine.alerts.kinds import URGENT, title_of
from tempogram.engine.alerts.quiet_hours import QuietHours
from tempogram.engine.ports.alert_store import Alert, Event, Mark, Notice

LINES_MAX = 20
"""In one notice. The others of its kind are counted."""

TEXT_MAX = 3_900
"""Characters. Source: https://core.telegram.org/bots/api#sendmessage (4,096), less what stands before it."""

EVENT_OF = {Mark.SAID: Event.OPENED, Mark.REMINDED: Event.LASTS, Mark.END_SAID: Event.ENDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When something may be said.

    Attributes:
        quiet: None: at any time.
        urgent: Kinds that are said in quiet hours, too.
        remind_ms: How often it is said that an alert lasts; 0: never.
    """

    quiet: QuietHours | None = None
    urgent: Collection[str] = URGENT
    remind_ms: int = 0

    def may_say(self, kind: str, now_ms: int) -> bool:
        return kind in self.urgent or self.quiet is None or not self.quiet.hold_at(now_ms)


def to_be_said(alerts: Sequence[Alert], when: When, now_ms: int) -> Iterator[tuple[Mark, list[Alert]]]:
    """Return what is to be said now: alerts of one kind together."""
    wanted = [(mark, alert) for alert in alerts for mark in _wanted(alert, when, now_ms)]
    wanted.sort(key=lambda each: (_ORDER[each[0]], each[1].kind, each[1].id))
    for (mark, _), group in groupby(wanted, key=lambda each: (each[0], each[1].kind)):
        yield mark, [alert for _, alert in group]


_ORDER = {mark: number for number, mark in enumerate((Mark.END_SAID, Mark.SAID, Mark.REMINDED))}
"""What has ended may have begun again since."""


def _wanted(alert: Alert, when: When, now_ms: int) -> Iterator[Mark]:
    if not when.may_say(alert.kind, now_ms):
        return
    if alert.ended_at_ms:
        if alert.said_at_ms and not alert.end_said_at_ms:
            yield Mark.END_SAID
    elif not alert.said_at_ms:
        yield Mark.SAID
    elif when.remind_ms and now_ms - max(alert.said_at_ms, alert.reminded_at_ms) >= when.remind_ms:
        yield Mark.REMINDED


def notice_of(mark: Mark, alerts: Sequence[Alert], now_ms: int) -> Notice:
    named = alerts[:LINES_MAX]
    lines = [_line(mark, alert, now_ms) for alert in named]
    if len(alerts) > len(named):
        lines.append(f"… and {len(alerts) - len(named):,} more")
    return Notice(
        id=new_id(now_ms),
        event=EVENT_OF[mark],
        kind=alerts[0].kind,
        lines=tuple(lines),
        keys=tuple(alert.key for alert in named),
        alerts=len(alerts),
        at_ms=now_ms,
    )


def trial_notice(now_ms: int) -> Notice:
    line = "this is a test: alerts reach you here"
    return Notice(id=new_id(now_ms), event=Event.TEST, kind="test", lines=(line,), keys=("",), alerts=1, at_ms=now_ms)


_last_ms = 0


def new_id(now_ms: int) -> str:
    """Return an id that sorts after those that this process has made before, and that no other process makes."""
    global _last_ms  # noqa: PLW0603 - one sequence for the process
    _last_ms = max(_last_ms + 1, now_ms * 1_000)
    return f"{_last_ms:016x}{secrets.token_hex(6)}"


def text_of(notice: Notice) -> str:
    r"""Return a notice as a plain text.

    >>> text_of(Notice(id="", event=Event.ENDED, kind="redis_away", lines=("Redis … (over after 2 min)",), keys=("",),
    ...                alerts=1, at_ms=0))
    'Over: Redis away\nRedis … (over after 2 min)'
    """
    title = title_of(notice.kind)
    heading = {Event.OPENED: title, Event.LASTS: f"Still: {title}", Event.ENDED: f"Over: {title}"}
    text = "\n".join((heading.get(notice.event, title), *notice.lines))
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"


def _line(mark: Mark, alert: Alert, now_ms: int) -> str:
    if mark is Mark.END_SAID:
        return f"{alert.text} (over after {in_words(alert.ended_at_ms - alert.opened_at_ms)})"
    if mark is Mark.REMINDED or now_ms - alert.opened_at_ms >= 60_000:
        return f"{alert.text} (for {in_words(now_ms - alert.opened_at_ms)})"
    return alert.text
