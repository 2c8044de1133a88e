"""The bases of every request and response."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class RequestModel(BaseModel):
    """A request. A misspelt field is refused, because it would be ignored silently otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResponseModel(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


def given(name: str, **value: Any) -> dict[str, Any]:
    """Return a schema for «this field stands there, and is not null», to be one of several."""
    return {"required": [name], "properties": {name: value}}
