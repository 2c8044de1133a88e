"""Alerts and notices; a test names only what matters to it."""

from __future__ import annotations

from typing import Any

from tempogram.engine.alerts.channel import Accepted, Tried
from tempogram.engine.ports.alert_store import Alert, Event, Notice, NoticeRow
from tests.fakes import START_MS


def alert(alert_id: str, **changes: Any) -> Alert:
    usual: dict[str, Any] = {
        "id": alert_id,
        "kind": "task_stalled",
        "key": alert_id,
        "text": f"task {alert_id} is stalled",
        "opened_at_ms": START_MS,
    }
    return Alert(**usual | changes)


def notice(notice_id: str, **changes: Any) -> Notice:
    usual: dict[str, Any] = {
        "id": notice_id,
        "event": Event.OPENED,
        "kind": "task_stalled",
        "lines": (f"task {notice_id} is stalled",),
        "keys": (notice_id,),
        "alerts": 1,
        "at_ms": START_MS,
    }
    return Notice(**usual | changes)


def row(notice_id: str, channel: str = "slack", **changes: Any) -> NoticeRow:
    usual: dict[str, Any] = {"notice": notice(notice_id), "channel": channel, "next_try_ms": START_MS}
    return NoticeRow(**usual | changes)


class ListChannel:
    """A channel that keeps what it is given, and answers with the next of ``answers``; then it accepts."""

    def __init__(self, *answers: Tried) -> None:
        self.answers = list(answers)
        self.tried: list[Notice] = []
        self.accepted: list[Notice] = []

    async def send(self, notice: Notice) -> Tried:
        self.tried.append(notice)
        answer = self.answers.pop(0) if self.answers else Accepted()
        if isinstance(answer, Accepted):
            self.accepted.append(notice)
        return answer

    @property
    def events(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(each.event.value, each.keys) for each in self.accepted]
