"""API tokens. What lets in is in one answer only, and in no representation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field, Strict, StringConstraints

from tempogram.api.schemas.access.users import Id, RoleName, name_of
from tempogram.api.schemas.base import RequestModel, ResponseModel
from tempogram.api.schemas.fields import AS_WHOLE, BotId, time_of
from tempogram.storage.identity.tokens import ApiToken

BOTS_MAX = 1_000
"""Bots that one token may be bound to."""

VALID_S_MAX = 10 * 365 * 86_400

TokenName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,63}$"),
    Field(description="What it is for.", examples=["ci"]),
]


class TokenIn(RequestModel):
    """A token to make."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "ci", "role": "operator", "bots": ["123456"], "expires_in_s": 7_776_000}]
        }
    )

    name: TokenName
    role: RoleName = Field(description="At most the caller's own, and at most that of its user.")
    user: Id | None = Field(None, description="The id of another user whose it is to be; for admins.")
    bots: list[BotId] | None = Field(
        None, min_length=1, max_length=BOTS_MAX, description="The only bots that it is for; null: all."
    )
    expires_in_s: Annotated[int, Strict(), Field(ge=1, le=VALID_S_MAX), AS_WHOLE] | None = Field(
        None, description="So many seconds it is valid; null: for ever."
    )


class TokenOut(ResponseModel):
    """A token without its secret."""

    id: str
    name: str
    role: RoleName = Field(description="What it may do now: never more than its user.")
    user: str | None = Field(description="The name of the user whose it is; null: of none.")
    user_id: str | None
    bots: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: ApiToken) -> Self:
        return cls(
            id=token.id,
            name=token.name,
            role=name_of(token.role),
            user=token.user_name,
            user_id=token.user_id,
            bots=None if token.bots is None else [str(bot_id) for bot_id in sorted(token.bots)],
            created_at=time_of(token.created_at_ms),
            expires_at=time_of(token.expires_at_ms),
            last_used_at=time_of(token.last_used_at_ms),
            revoked_at=time_of(token.revoked_at_ms),
        )


class TokensOut(ResponseModel):
    """Tokens, the oldest first."""

    tokens: list[TokenOut]


class NewTokenOut(ResponseModel):
    """A token that was made. ``text`` is shown here only."""

    token: TokenOut
    text: str = Field(repr=False, description="What the header Authorization: Bearer has; it is not shown again.")


class RevokedOut(ResponseModel):
    """The token that was revoked."""

    id: str
