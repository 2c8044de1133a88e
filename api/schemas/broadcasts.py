"""Broadcasts in requests and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, Strict, model_validator

from tempogram.api.schemas.base import RequestModel, ResponseModel, given
from tempogram.api.schemas.fields import BotId, Flag, Tag, time_of
from tempogram.api.schemas.local_times import Minute, QuietHoursIn, Zone
from tempogram.api.schemas.selections import ChatsIn, DailyCap
from tempogram.engine.broadcasts.board import Forecast, Progress
from tempogram.engine.limits.limits import PLACES_A_STAR
from tempogram.engine.model.broadcasts import (
    NANOSTARS,
    SPREAD_MS_MAX,
    BroadcastState,
    Content,
    Outcome,
    Plan,
    Stars,
    Totals,
)
from tempogram.engine.model.messages import Guarantee, Priority
from tempogram.engine.model.selection import DEFAULT_ZONE, Reason

HOUR_MS = 3_600_000

ID_MAX = (1 << 53) - 1


class BroadcastIn(RequestModel):
    """One message to many chats of a bot: a ``text``, or any sending ``method`` with its ``params``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "spring",
                    "bot": "123456",
                    "text": "Hello {title|friend}, the spring sale begins.",
                    "selection": {"languages": ["en"], "active_days": 90},
                    "at": "10:00",
                },
            ],
            "oneOf": [given("text", type="string"), given("method", type="string")],
        }
    )

    name: Tag
    bot: BotId
    text: str | None = Field(None, description="Short for the method sendMessage with this text.")
    method: str | None = Field(None, pattern=r"^[A-Za-z]{1,64}$", description="As Telegram spells it.")
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="The method's parameters without chat_id. Texts may have {title}, {language}, {chat_id}, and "
        "{title|friend} for chats whose title is not known.",
    )
    selection: ChatsIn = Field(ChatsIn.model_validate({}))
    at: Minute | None = Field(None, description="Of each chat's own day, such as 10:00; null: at once.")
    spread_h: Annotated[float, Strict()] = Field(
        0, ge=0, le=SPREAD_MS_MAX / HOUR_MS, description="Hours over which the chats are spread evenly."
    )
    zone: Zone = Field(DEFAULT_ZONE, description="Of chats whose time zone is not known.")
    quiet_hours: QuietHoursIn | None = Field(None, description="Of chats that have none of their own.")
    daily_cap: DailyCap = Field(None, description="So many messages a chat gets on a local date, over all campaigns.")
    not_if_written_today: Flag = Field(default=False, description="Leave out chats that the bot has written to today.")
    priority: Priority = Field(Priority.LOW, description="Shared 16 : 4 : 1, never strictly.")
    delivery: Guarantee = Field(
        Guarantee.AT_MOST_ONCE, description="What happens if it is unknown whether one arrived."
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.text is None) == (self.method is None):
            raise ValueError("a broadcast needs either a text or a method")
        if "chat_id" in self.params:
            raise ValueError("params has a chat_id; say in selection which chats are meant")
        if self.text is not None and "text" in self.params:
            raise ValueError("text is given twice, beside params and in them")
        return self

    def plan(self, text_params: dict[str, Any]) -> Plan:
        """Return what it is to do; a text has these parameters unless it says otherwise."""
        params = self.params if self.text is None else {**text_params, **self.params, "text": self.text}
        return Plan(
            selection=self.selection.of(self.bot),
            content=Content(method=self.method or "sendMessage", params=params),
            at_minute=self.at,
            spread_ms=round(self.spread_h * HOUR_MS),
            default_zone=self.zone,
            quiet_hours=None if self.quiet_hours is None else self.quiet_hours.hours(),
            daily_cap=self.daily_cap,
            not_if_written_today=self.not_if_written_today,
            priority=self.priority,
            guarantee=self.delivery,
        )


class StarsOut(ResponseModel):
    """What the bot paid for from the start of a broadcast until a minute after its end."""

    purse: float = Field(description="0.1 for each message that may have been paid for, as its purse counts them.")
    billed: float | None = Field(description="What Telegram billed, by getStarTransactions; null: it is not known.")
    asked_at: datetime | None = Field(description="When Telegram was asked.")

    @classmethod
    def of(cls, stars: Stars) -> Self:
        billed = stars.nanostars_billed
        return cls(
            purse=stars.purse_places / PLACES_A_STAR,
            billed=None if billed is None else billed / NANOSTARS,
            asked_at=time_of(stars.asked_at_ms),
        )


class BroadcastOut(ResponseModel):
    """A broadcast, and how far it is."""

    id: int
    name: str
    bot: str
    state: BroadcastState
    method: str
    recipients: int = Field(description="Known by now.")
    is_gathered: bool = Field(description="All recipients are known.")
    waiting: int = Field(description="Recipients that have no message in the queue yet.")
    under_way: int = Field(description="Recipients whose messages are in the queue, or are being sent.")
    outcomes: dict[Outcome, int] = Field(description="How many recipients have ended, by outcome.")
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    ends_at: datetime | None = Field(description="When the last one arrives, if nothing else comes meanwhile.")
    problem: str | None = Field(description="Why it was paused, if no operator has paused it.")
    stars: StarsOut | None = Field(
        description="Of a paid one that has ended, once GET /broadcasts/{broadcast_id} was called."
    )

    @classmethod
    def of(cls, progress: Progress) -> Self:
        broadcast = progress.broadcast
        return cls(
            id=broadcast.id,
            name=broadcast.name,
            bot=str(broadcast.bot_id),
            state=broadcast.state,
            method=broadcast.plan.content.method,
            recipients=broadcast.recipients,
            is_gathered=broadcast.is_gathered,
            waiting=progress.waiting,
            under_way=progress.under_way,
            outcomes={each: broadcast.outcomes.get(each, 0) for each in Outcome},
            created_at=time_of(broadcast.created_at_ms),
            started_at=time_of(broadcast.started_at_ms),
            ended_at=time_of(broadcast.ended_at_ms),
            ends_at=time_of(progress.ends_at_ms),
            problem=broadcast.problem,
            stars=None if broadcast.stars is None else StarsOut.of(broadcast.stars),
        )


class BroadcastsOut(ResponseModel):
    """Broadcasts, newest first."""

    broadcasts: list[BroadcastOut]
    next_before: int | None = Field(description="The next page's before; null: this is the last one.")


class RunningBroadcastsOut(ResponseModel):
    """The broadcasts that run, in a few numbers."""

    running: int
    waiting: int = Field(description="Their recipients without an outcome.")
    outcomes: dict[Outcome, int] = Field(description="How many recipients have ended, by outcome; those that occur.")
    next_due_at: datetime | None = Field(None, description="When the next recipient without a message is due.")

    @classmethod
    def of(cls, totals: Totals) -> Self | None:
        """Return None if none runs."""
        if not totals.running:
            return None
        return cls(
            running=totals.running,
            waiting=totals.waiting,
            outcomes=dict(totals.outcomes),
            next_due_at=time_of(totals.next_due_ms),
        )


class ForecastOut(ResponseModel):
    """What a broadcast would do if it were started now."""

    recipients: int
    held: int = Field(description="Of these, chats in their quiet hours now.")
    left_out: dict[Reason, int] = Field(description="How many are left out, by the first reason that applies.")
    ends_at: datetime | None = Field(description="When the last one arrives, if nothing else comes meanwhile.")
    delays_urgent_ms: int = Field(description="How long an urgent message of the bot waits at most because of it.")
    delays_low_until: datetime | None = Field(description="Until when other low messages of the bot may have to wait.")
    stars: int = Field(description="What it costs at most, if it is paid for.")

    @classmethod
    def of(cls, forecast: Forecast) -> Self:
        return cls(
            recipients=forecast.recipients,
            held=forecast.held,
            left_out=dict(forecast.left_out),
            ends_at=time_of(forecast.ends_at_ms),
            delays_urgent_ms=forecast.delays_urgent_ms,
            delays_low_until=time_of(forecast.delays_low_until_ms),
            stars=forecast.stars,
        )
