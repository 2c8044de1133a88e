"""What was changed, in responses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from tempogram.api.schemas.base import ResponseModel
from tempogram.api.usecases.tasks_shown import time_of
from tempogram.storage.audit import Change


class ChangeOut(ResponseModel):
    """One change: who made it, from where, and what it did."""

    id: str
    time: datetime
    who: str = Field(description="The name of the caller; of a token of the settings its role.", examples=["admin"])
    role: str
    address: str = Field(description="From where; behind a proxy the proxy's.")
    action: str = Field(examples=["PATCH /services/{name}"])
    target: str = Field(examples=["name=twilio"])
    before: dict[str, Any] = Field(description="What was there of what was changed: names, numbers and ids.")
    after: dict[str, Any]

    @classmethod
    def of(cls, change: Change) -> Self:
        return cls(
            id=change.id,
            time=time_of(change.at_ms),
            who=change.who,
            role=change.role,
            address=change.address,
            action=change.action,
            target=change.target,
            before=dict(change.before),
            after=dict(change.after),
        )


class AuditOut(ResponseModel):
    """Changes, newest first."""

    changes: list[ChangeOut]
    next_before: str | None = Field(description="Give it as ``before`` to get older ones; null: there are none.")

    @classmethod
    def of(cls, found: Sequence[Change], *, limit: int) -> Self:
        page = [ChangeOut.of(change) for change in found[:limit]]
        return cls(changes=page, next_before=page[-1].id if len(found) > limit else None)
