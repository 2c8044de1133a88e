"""Under which key secrets are, in responses."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from tempogram.api.schemas.base import ResponseModel
from tempogram.storage.key_rotation import UnderKeys


class KeysOut(ResponseModel):
    """How many bots have their secrets under which key; each counts once, under the worst."""

    has_former_key: bool = Field(description="This process has FORMER_SECRET_KEY.")
    present: int = Field(description="Under SECRET_KEY.")
    former: int = Field(description="Under FORMER_SECRET_KEY: it is still needed.")
    unreadable: int = Field(description="Under neither; see tempogram keys.")

    @classmethod
    def of(cls, counted: UnderKeys, *, has_two: bool) -> Self:
        return cls(
            has_former_key=has_two,
            present=counted.present,
            former=counted.former,
            unreadable=counted.unreadable,
        )
