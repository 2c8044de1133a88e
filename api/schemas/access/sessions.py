"""Sessions of browsers. What lets in is in cookies only."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import ConfigDict, Field, SecretStr, model_validator

from tempogram.api.schemas.access.users import Password, RoleName, name_of
from tempogram.api.schemas.base import RequestModel, ResponseModel, given
from tempogram.api.schemas.fields import time_of
from tempogram.storage.identity.passwords import CHARACTERS_MAX
from tempogram.storage.identity.sessions import ApiSession

NAME_CHARACTERS_MAX = 64
LINK_CHARACTERS_MAX = 100


class LogInIn(RequestModel):
    """A name with its password, or a log-in link."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "ada", "password": "correct horse battery staple"}],
            "oneOf": [
                {
                    "required": ["name", "password"],
                    "properties": {"name": {"type": "string"}, "link": {"type": "null"}},
                },
                {**given("link", type="string"), "properties": {"link": {"type": "string"}, "name": {"type": "null"}}},
            ],
        }
    )

    name: str | None = Field(None, max_length=NAME_CHARACTERS_MAX)
    password: SecretStr | None = Field(
        None, max_length=CHARACTERS_MAX, description="With a link: a new one, to log in with later."
    )
    link: SecretStr | None = Field(None, max_length=LINK_CHARACTERS_MAX, description="tpgl_…, which is used up.")

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.name is None) == (self.link is None):
            raise ValueError("a log-in needs name and password, or link")
        if self.link is None and self.password is None:
            raise ValueError("a log-in by name needs password")
        return self


class PasswordIn(RequestModel):
    """A new password."""

    present: SecretStr | None = Field(
        None, max_length=CHARACTERS_MAX, description="The one of now; null: the user has none yet."
    )
    password: Password


class SessionOut(ResponseModel):
    """A session without what lets in."""

    id: str
    is_this: bool = Field(description="It is the one that asks.")
    created_at: datetime
    seen_at: datetime = Field(description="To the minute.")
    expires_at: datetime = Field(description="When it ends without a further request.")
    ends_at: datetime = Field(description="When it ends in any case.")
    address: str = Field(description="From where it was begun.")

    @classmethod
    def of(cls, session: ApiSession, *, this: str | None) -> Self:
        return cls(
            id=session.id,
            is_this=session.id == this,
            created_at=time_of(session.created_at_ms),
            seen_at=time_of(session.seen_at_ms),
            expires_at=time_of(session.expires_at_ms),
            ends_at=time_of(session.ends_at_ms),
            address=session.address,
        )


class SessionsOut(ResponseModel):
    """One's own sessions, the oldest first."""

    sessions: list[SessionOut]


class LoggedInOut(ResponseModel):
    """Who has logged in. The cookie is in a header."""

    name: str
    role: RoleName
    session: SessionOut

    @classmethod
    def of(cls, session: ApiSession) -> Self:
        return cls(
            name=session.user_name,
            role=name_of(session.role),
            session=SessionOut.of(session, this=session.id),
        )


class CallerOut(ResponseModel):
    """Who asks, and what it may do."""

    name: str
    role: RoleName
    bots: list[str] | None = Field(description="The only ones that it sees; null: all.")
    session_id: str | None = Field(description="null: it is no browser that has logged in here.")
    logged_in_at: datetime | None = Field(description="null: it is a program, or a proxy names it.")


class EndedOut(ResponseModel):
    """How many sessions were ended."""

    ended: int
