"""The bases of every request and response."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class RequestModel(BaseModel):
    """The base of requests. An unknown field is refused: a misspelt one would be ignored silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResponseModel(BaseModel):
    """The base of responses."""

    model_config = ConfigDict(frozen=True)


def given(name: str, **value: Any) -> dict[str, Any]:
    """Return a schema of bodies in which this field is given and not null, for ``anyOf`` and ``oneOf``."""
    return {"required": [name], "properties": {name: value}}
