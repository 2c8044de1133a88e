"""How a message is sent: how urgently, when, and what happens when it is unclear whether it arrived."""

from __future__ import annotations

from pydantic import Field

from tempogram.api.schemas.base import RequestModel
from tempogram.api.schemas.fields import Tag, TimeMs
from tempogram.engine.model.messages import Guarantee, Priority

EXPIRES_IN_S_MAX = 366 * 86_400


class Sending(RequestModel):
    """What is the same over HTTP and in Python."""

    priority: Priority = Field(Priority.NORMAL, description="Shared 16 : 4 : 1, never strictly.")
    send_at: TimeMs | None = None
    expires_in_s: float | None = Field(
        None, gt=0, le=EXPIRES_IN_S_MAX, description="Not sent after this many seconds, counted from send_at or now."
    )
    dedup_key: str | None = Field(
        None,
        pattern=r"^[!-~]{1,200}$",
        description="The same key of the same bot is accepted once within RETENTION_DAYS. Printable ASCII.",
    )
    delivery: Guarantee = Field(
        Guarantee.AT_LEAST_ONCE,
        description="What happens if it is unknown whether it arrived: at_least_once sends it again.",
    )
    tag: Tag | None = None
