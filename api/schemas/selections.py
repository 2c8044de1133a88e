"""A selection of chats in requests and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, StringConstraints

from tempogram.api.schemas.base import RequestModel, ResponseModel
from tempogram.api.schemas.fields import AS_WHOLE, BotId, ChatField, Flag, Tag, time_of
from tempogram.api.schemas.local_times import Hour, QuietHoursIn, Zone
from tempogram.engine.model.selection import DEFAULT_ZONE, Preview, Recipient, Rules, Selection
from tempogram.engine.ports.audience import PAGE
from tempogram.engine.selection.languages import LANGUAGE

CHATS_MAX = 100_000
"""Listed in one request."""

FEW_MAX = 50
"""Tags and languages."""

DAYS_MAX = 3_660
CAP_MAX = 1_000


Language = Annotated[str, StringConstraints(pattern=f"^{LANGUAGE.pattern}$"), Field(examples=["pt"])]
Days = Annotated[int, Strict(), Field(ge=0, le=DAYS_MAX), AS_WHOLE]
DailyCap = Annotated[int, Strict(), Field(ge=1, le=CAP_MAX), AS_WHOLE] | None


class RulesIn(RequestModel):
    """What holds for a campaign besides whom it means."""

    campaign: Tag | None = Field(None, description="Its name. A chat that it has written to today is left out.")
    default_zone: Zone = Field(DEFAULT_ZONE, description="Of chats whose time zone is not known.")
    at: Hour | None = Field(
        None, description="Only chats in whose zone it is this hour of the day now: from this time on, up to 23:00."
    )
    quiet_hours: QuietHoursIn | None = Field(None, description="Of chats that have none of their own.")
    daily_cap: DailyCap = Field(None, description="So many messages a chat gets on a local date, over all campaigns.")
    not_if_written_today: Flag = Field(
        default=False, description="Leave out chats to which the bot has written on their local date."
    )

    @property
    def rules(self) -> Rules:
        return Rules(
            campaign=self.campaign or "",
            default_zone=self.default_zone,
            at_minute=self.at,
            quiet_hours=None if self.quiet_hours is None else self.quiet_hours.hours(),
            daily_cap=self.daily_cap,
            not_if_written_today=self.not_if_written_today,
        )


class ChatsIn(RequestModel):
    """Which chats of a bot are meant: those to which everything here applies. What is left out asks for nothing."""

    types: list[Literal["private", "group", "supergroup", "channel"]] = Field(
        ["private"], max_length=4, description="Of chats, as Telegram names them."
    )
    chats: list[ChatField] = Field([], max_length=10_000, description="Only these.")
    tags: list[Tag] = Field([], max_length=100, description="Chats that have any of them.")
    without_tags: list[Tag] = Field([], max_length=100, description="Chats that have none of them.")
    languages: list[Language] = Field([], max_length=100, description="IETF tags; pt means pt-BR as well.")
    wrote_days_ago: Days | None = Field(
        None, description="The chat's last message came on this local day; 1: yesterday."
    )
    active_days: Days | None = Field(None, description="It came on one of so many local days before today, or today.")
    quiet_days: Days | None = Field(None, description="It came before these days, or none ever came.")

    def of(self, bot_id: int) -> Selection:
        return Selection(
            bot_id=bot_id,
            types=tuple(self.types),
            chats=tuple(self.chats),
            tags=tuple(self.tags),
            without_tags=tuple(self.without_tags),
            languages=tuple(self.languages),
            wrote_days_ago=self.wrote_days_ago,
            active_days=self.active_days,
            quiet_days=self.quiet_days,
        )


class SelectionIn(ChatsIn):
    """A selection of a bot's chats by itself. It is not stored, so it may list more of them."""

    bot: BotId
    chats: list[ChatField] = Field(
        [], max_length=CHATS_MAX, description="Only these. More than 100,000 are better given a tag."
    )
    tags: list[Tag] = Field([], max_length=FEW_MAX, description="Chats that have any of them.")
    without_tags: list[Tag] = Field([], max_length=FEW_MAX, description="Chats that have none of them.")
    languages: list[Language] = Field([], max_length=FEW_MAX, description="pt means pt-BR as well.")
    rules: RulesIn = RulesIn()

    @property
    def selection(self) -> Selection:
        return self.of(self.bot)


class SelectionPageIn(SelectionIn):
    """A selection, and where its page begins."""

    after: Annotated[str, StringConstraints(pattern=r"^(-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64})?$")] = Field(
        "", description="next_after of the page before; empty: the first page."
    )
    limit: Annotated[int, Strict(), Field(ge=1, le=PAGE), AS_WHOLE] = PAGE


class PreviewOut(ResponseModel):
    """What a selection gives at ``time``: now, or, where counting takes long, up to 5 s before."""

    selected: int = Field(description="With those that are held.")
    held: int = Field(description="Of these, chats in their quiet hours.")
    left_out: dict[str, int] = Field(description="By reason; each chat is counted once, under the first that applies.")
    time: datetime

    @classmethod
    def of(cls, preview: Preview, now_ms: int) -> Self:
        left_out = {reason.value: count for reason, count in preview.left_out.items()}
        return cls(selected=preview.selected, held=preview.held, left_out=left_out, time=time_of(now_ms))


class SelectedOut(ResponseModel):
    """A chat that is selected."""

    chat_id: int | str
    time_zone: str
    local_date: str = Field(description="On which it is to be written to.", examples=["2026-03-29"])
    not_before: datetime | None = Field(description="When its quiet hours end; null: it is not in them.")
    day_ends: datetime
    language: str | None
    title: str | None

    @classmethod
    def of(cls, chat: Recipient) -> Self:
        return cls(
            chat_id=chat.chat_id,
            time_zone=chat.zone,
            local_date=chat.local_date,
            not_before=time_of(chat.not_before_ms),
            day_ends=time_of(chat.day_ends_ms),
            language=chat.language,
            title=chat.title,
        )


class SelectedPageOut(ResponseModel):
    """A page of the chats that are selected, by their ids as texts."""

    chats: list[SelectedOut]
    next_after: str | None = Field(description="null: there are no more.")

    @classmethod
    def of(cls, page: list[Recipient]) -> Self:
        next_after = str(page[-1].chat_id) if page else None
        return cls(chats=list(map(SelectedOut.of, page)), next_after=next_after)
