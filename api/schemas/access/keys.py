"""Under which key secrets are, in responses."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from tempogram.api.schemas.base import ResponseModel
from tempogram.storage.identity.under_keys import DigestCount
from tempogram.storage.key_rotation import KeyState


class DigestsOut(ResponseModel):
    """How many of one kind that are valid are under which key: each gets the present one when it is used."""

    present: int = Field(description="Under SECRET_KEY.")
    former: int = Field(
        description="Under FORMER_SECRET_KEY: without it they stop working, unless they are used before."
    )
    unknown: int = Field(
        description="Made by an earlier version, and not used since: without it they may stop working."
    )
    other: int = Field(description="Under another key: they do not work.")

    @classmethod
    def of(cls, count: DigestCount) -> Self:
        return cls(present=count.present, former=count.former, unknown=count.unknown, other=count.other)


class KeysOut(ResponseModel):
    """How many bots have their secrets under which key; each counts once, under the worst."""

    has_former_key: bool = Field(description="This process has FORMER_SECRET_KEY.")
    is_changing: bool = Field(
        description="A change has begun and not ended: no process starts that does not have both keys."
    )
    present: int = Field(description="Under SECRET_KEY.")
    former: int = Field(description="Under FORMER_SECRET_KEY: it is still needed.")
    unreadable: int = Field(description="Under neither; see tempogram keys.")
    api_tokens: DigestsOut
    login_links: DigestsOut
    sessions: DigestsOut

    @classmethod
    def of(cls, state: KeyState, *, has_two: bool) -> Self:
        return cls(
            has_former_key=has_two,
            is_changing=state.is_changing,
            present=state.bots.present,
            former=state.bots.former,
            unreadable=state.bots.unreadable,
            api_tokens=DigestsOut.of(state.digests.api_tokens),
            login_links=DigestsOut.of(state.digests.login_links),
            sessions=DigestsOut.of(state.digests.sessions),
        )
