"""The alerts in responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from tempogram.api.schemas.base import ResponseModel
from tempogram.engine.alerts.channel import Accepted, Away, Pending, Refused, Tried
from tempogram.engine.alerts.kinds import title_of
from tempogram.engine.ports.alert_store import Alert


class AlertOut(ResponseModel):
    """One alert that is open."""

    kind: str
    title: str
    key: str
    text: str
    since_ms: int
    age_seconds: int
    is_said: bool

    @classmethod
    def of(cls, alert: Alert, now_ms: int) -> Self:
        return cls(
            kind=alert.kind,
            title=title_of(alert.kind),
            key=alert.key,
            text=alert.text,
            since_ms=alert.opened_at_ms,
            age_seconds=max(0, now_ms - alert.opened_at_ms) // 1_000,
            is_said=alert.said_at_ms > 0,
        )


class AlertsOut(ResponseModel):
    """The alerts that are open. That the database is away cannot be read from it: see ``/health``."""

    alerts: list[AlertOut]

    @classmethod
    def of(cls, alerts: Sequence[Alert], *, now_ms: int) -> Self:
        return cls(alerts=[AlertOut.of(each, now_ms) for each in alerts if not each.ended_at_ms])


class ChannelTrialOut(ResponseModel):
    """What came of a test alert. ``pending``: it is in the queue, and was not sent within the time."""

    channel: str
    outcome: Literal["accepted", "pending", "refused", "away"]
    reason: str

    @classmethod
    def of(cls, channel: str, tried: Tried) -> Self:
        match tried:
            case Accepted():
                return cls(channel=channel, outcome="accepted", reason="")
            case Pending():
                return cls(channel=channel, outcome="pending", reason="")
            case Refused(reason):
                return cls(channel=channel, outcome="refused", reason=reason)
            case Away(reason):
                return cls(channel=channel, outcome="away", reason=reason)


class TrialOut(ResponseModel):
    """Each channel of the settings; none: alerts are only in the log and under ``/alerts``."""

    channels: list[ChannelTrialOut]

    @classmethod
    def of(cls, tried: Mapping[str, Tried]) -> Self:
        return cls(channels=[ChannelTrialOut.of(*each) for each in tried.items()])
