"""What ``GET /bots/{bot_id}/reengagement`` answers."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from tempogram.api.core.ports import DryRun, PlannedMessage
from tempogram.api.schemas.base import ResponseModel
from tempogram.api.schemas.fields import time_of


class PlannedMessageOut(ResponseModel):
    """A chat that would be written to."""

    chat_id: int | str
    title: str | None
    time_zone: str = Field(description="Its own, or the default of the bot.")
    local_date: str = Field(description="Its date when the message goes.", examples=["2026-03-29"])
    not_before: datetime | None = Field(description="When its quiet hours end; null: it is not in them.")
    text: str | None = Field(description="Of a template; null: the language model writes it.")

    @classmethod
    def of(cls, planned: PlannedMessage) -> Self:
        recipient = planned.recipient
        return cls(
            chat_id=recipient.chat_id,
            title=recipient.title,
            time_zone=recipient.zone,
            local_date=recipient.local_date,
            not_before=time_of(recipient.not_before_ms),
            text=planned.text,
        )


class DryRunOut(ResponseModel):
    """Who would get what."""

    at: datetime
    selected: int = Field(description="Chats that would be written to, with those that are held.")
    held: int = Field(description="Of these, chats in their quiet hours.")
    left_out: dict[str, int] = Field(
        description="How many are left out, by reason.", examples=[{"opted_out": 3, "written_today": 12}]
    )
    messages: list[PlannedMessageOut]
    next_after: str | None = Field(description="``after`` of the next page; null: this is the last one.")

    @classmethod
    def of(cls, dry_run: DryRun) -> Self:
        shown = [PlannedMessageOut.of(each) for each in dry_run.messages]
        return cls(
            at=time_of(dry_run.at_ms),
            selected=dry_run.preview.selected,
            held=dry_run.preview.held,
            left_out={reason.value: count for reason, count in dry_run.preview.left_out.items()},
            messages=shown,
            next_after=str(shown[-1].chat_id) if shown else None,
        )
