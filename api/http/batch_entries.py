"""The entries of a batch: one that strict JSON does not take refuses itself only, as any other wrong entry does."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request

from tempogram.api.core.errors import Malformed
from tempogram.api.schemas.fields import HALF_OF_A_PAIR
from tempogram.api.security.auth import GuardedRoute, StrictRequest

HALF_A_CHARACTER = (
    "strings must be encoded in UTF-8: this entry has half of a surrogate pair, or bytes that are no text"
)
NO_NUMBER = "this entry has a number that JSON does not have, or one that is out of range"

DIGITS_MAX = 4_300
"""Python takes seconds for a number of a million digits, and by default none of more than these."""


class BatchRoute(GuardedRoute):
    """Reads the body as a list of which each entry that cannot be read is a ``Malformed``."""

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Read the body."""
        async with super().read(request) as strict:
            yield BatchRequest(strict)


class BatchRequest(StrictRequest):
    """Reads strict JSON at full speed, and only what that refuses entry by entry."""

    def __init__(self, strict: Request) -> None:
        super().__init__(strict.scope, strict.receive)
        self._strict = strict

    async def body(self) -> bytes:
        """Return the body that was read already."""
        return await self._strict.body()

    async def json(self) -> Any:
        """Return the body; raises ``JSONDecodeError`` if it is no JSON at all."""
        try:
            return await super().json()
        except json.JSONDecodeError:
            entries = readable(await self.body())
            if entries is None:
                raise
            return entries


def readable(body: bytes) -> list[Any] | None:
    r"""Return the entries of a list, and a ``Malformed`` for each that cannot be read; None if it is no list.

    >>> [type(each).__name__ for each in readable(b'[{"text": "a"}, {"text": "\\ud83d"}, [NaN], "\\ud83d\\ude00"]')]
    ['dict', 'Malformed', 'Malformed', 'str']
    >>> readable(b'[{"text": "a"'), readable(b'{"text": "\\ud83d"}')
    (None, None)
    """
    try:
        # Bytes that are no UTF-8 become halves of pairs, too.
        entries = json.loads(
            body.decode("utf-8", "surrogateescape"), parse_constant=_no_number, parse_float=_float, parse_int=_int
        )
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(entries, list):
        return None
    return [entry if (reason := _flaw(entry)) is None else Malformed(reason) for entry in entries]


class _NoNumber:
    """Stands for what is no number of JSON's, or none that a program can hold."""


def _no_number(_: str) -> _NoNumber:
    return _NoNumber()


def _float(text: str) -> float | _NoNumber:
    number = float(text)
    return number if math.isfinite(number) else _NoNumber()


def _int(text: str) -> int | _NoNumber:
    return int(text) if len(text) <= DIGITS_MAX else _NoNumber()


def _flaw(value: Any) -> str | None:
    """Return why a value cannot be read; None if it can."""
    match value:
        case str():
            return HALF_A_CHARACTER if HALF_OF_A_PAIR.search(value) else None
        case _NoNumber():
            return NO_NUMBER
        case dict():
            return _first_flaw([*value, *value.values()])
        case list():
            return _first_flaw(value)
        case _:
            return None


def _first_flaw(values: list[Any]) -> str | None:
    return next(filter(None, map(_flaw, values)), None)
