"""What is kept of a chat: its export and its erasure."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from tempogram.api.schemas.base import ResponseModel


class ErasureOut(ResponseModel):
    """What was deleted of a chat."""

    erased: dict[str, int] = Field(description="Rows that were deleted, by table.")
    left: int = Field(
        description="Rows that go once they have ended: messages that are being sent, updates that are being handled, "
        "broadcasts that go on. A task looks after them every hour."
    )


class ErasedOut(ResponseModel):
    """That a chat was erased."""

    erased_at: datetime


class LiftedOut(ResponseModel):
    """That a chat may be written to again."""

    lifted: bool
