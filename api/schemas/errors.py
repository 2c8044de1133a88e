"""The body of every error."""

from __future__ import annotations

from pydantic import Field

from tempogram.api.schemas.base import ResponseModel


class ErrorBody(ResponseModel):
    """``code`` is a word for programs, ``message`` a sentence for people."""

    code: str = Field(examples=["invalid"])
    message: str = Field(examples=["priority should be 'high', 'normal' or 'low', not 'urgent'"])


class ErrorOut(ResponseModel):
    """The body of every error."""

    error: ErrorBody
