"""Users. What lets in is in one answer only, and in no representation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, SecretStr, StringConstraints

from tempogram.api.schemas.base import RequestModel, ResponseModel
from tempogram.api.schemas.fields import Flag, time_of
from tempogram.storage.identity.passwords import CHARACTERS_MAX, CHARACTERS_MIN
from tempogram.storage.identity.roles import Role
from tempogram.storage.identity.users import User

RoleName = Literal["viewer", "operator", "admin"]

UserName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$"),
    Field(description="Letters, digits and . _ @ + -; two names differ in more than case.", examples=["ada"]),
]
Password = Annotated[SecretStr, Field(min_length=CHARACTERS_MIN, max_length=CHARACTERS_MAX)]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,32}$")]


class UserIn(RequestModel):
    """A user to add."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ada", "role": "operator"}]})

    name: UserName
    role: RoleName
    password: Password | None = Field(None, description="Without it the user has none yet.")


class UserChange(RequestModel):
    """What is to be changed; the rest stays."""

    role: RoleName | None = None
    is_active: Flag | None = Field(None, description="false: nothing lets the user in.")
    password: Password | None = Field(None, description="All sessions of the user end.")


class UserOut(ResponseModel):
    """A user."""

    id: str
    name: str
    role: RoleName
    is_active: bool
    has_password: bool
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(
            id=user.id,
            name=user.name,
            role=name_of(user.role),
            is_active=user.is_active,
            has_password=user.has_password,
            created_at=time_of(user.created_at_ms),
        )


class UsersOut(ResponseModel):
    """Every user, by name."""

    users: list[UserOut]


class LinkOut(ResponseModel):
    """What a user logs in with once. It is not shown again."""

    link: str = Field(repr=False)
    expires_at: datetime


class RemovedUserOut(ResponseModel):
    """The user that was removed."""

    id: str


def name_of(role: Role) -> RoleName:
    """Return how a role is written.

    >>> name_of(Role.VIEWER)
    'viewer'
    """
    names: dict[Role, RoleName] = {Role.VIEWER: "viewer", Role.OPERATOR: "operator", Role.ADMIN: "admin"}
    return names[role]
