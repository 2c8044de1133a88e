"""What is kept of an answer: JSON, with its times and the state of its tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any, NoReturn

import msgspec

from tempogram.engine.cache.options import CacheOptions

ENTRY_BYTES_MAX = 1 << 20
"""A larger answer is returned, and not kept. untuned: of an API's answers few are larger."""


class Age(Enum):
    """What may be done with an entry."""

    FRESH = auto()
    EARLY = auto()  # it is fresh, and is to be computed anew soon
    STALE = auto()  # it is returned, and computed anew
    STALE_IF_ERROR = auto()  # it is returned only if computing it anew fails
    EXPIRED = auto()


class Entry(msgspec.Struct, frozen=True):
    """One answer.

    Attributes:
        value: As JSON; of an error its arguments.
        made_ms: When it was kept; milliseconds since the epoch.
        fresh_ms: How long it is fresh.
        versions: Of its tags, when its computation began; another version now: it was forgotten.
        error: The name of the error's type; none: it is a value.
    """

    value: msgspec.Raw
    made_ms: int
    fresh_ms: int
    versions: tuple[str, ...]
    error: str = ""

    @property
    def is_negative(self) -> bool:
        return bool(self.error) or bytes(self.value) == b"null"

    def age(self, now_ms: int, versions: Sequence[str], options: CacheOptions) -> Age:
        """Tell what may be done with it. An error, or none, is never stale."""
        if tuple(versions) != self.versions:
            return Age.EXPIRED
        left_ms = self.made_ms + self.fresh_ms - now_ms
        if left_ms > self.fresh_ms:  # a clock was set back: how old it is is not known
            return Age.EXPIRED
        if left_ms > 0:
            return Age.EARLY if left_ms <= 1_000 * options.early_s and not self.is_negative else Age.FRESH
        if self.is_negative or left_ms <= -max(options.stale_ms, options.stale_if_error_ms):
            return Age.EXPIRED
        return Age.STALE if left_ms > -options.stale_ms else Age.STALE_IF_ERROR

    def answer(self, options: CacheOptions) -> Callable[[], Any]:
        """Return what returns the value, a new one for each caller, or raises the error.

        Raises:
            ValidationError: Another version of the program kept something else.
        """
        if not self.error:
            value = msgspec.json.decode(self.value, type=options.type)
            return lambda: value
        kind = next((kind for kind in options.errors if kind.__qualname__ == self.error), None)
        if kind is None:
            raise msgspec.ValidationError(f"{self.error} is no error of this answer any more")
        return partial(_raise, kind, msgspec.json.decode(self.value))

    def is_readable(self, options: CacheOptions) -> bool:
        try:
            self.answer(options)
        except msgspec.ValidationError:
            return False
        return True


def _raise(kind: type[Exception], arguments: Sequence[Any]) -> NoReturn:
    raise kind(*arguments)


def packed(entry: Entry) -> bytes:
    return msgspec.json.encode(entry)


def unpacked(text: bytes | None) -> Entry | None:
    """Return an entry; None: there is none, or it is not of this version."""
    try:
        return None if text is None else msgspec.json.decode(text, type=Entry)
    except msgspec.MsgspecError:
        return None


def of_value(value: Any, options: CacheOptions, now_ms: int, versions: tuple[str, ...]) -> Entry:
    """Return the entry of a value.

    Raises:
        TypeError: It has no JSON, or what becomes of it is not of the type that callers get.
    """
    try:
        text = msgspec.json.encode(value)
        msgspec.json.decode(text, type=options.type)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(str(error)) from error
    fresh_ms = options.fresh_ms(is_negative=value is None)
    return Entry(msgspec.Raw(text), now_ms, fresh_ms, versions)


def of_error(error: Exception, options: CacheOptions, now_ms: int, versions: tuple[str, ...]) -> Entry | None:
    """Return the entry of an error that is an answer; None: it is none, or its arguments have no JSON."""
    kind = next((kind for kind in type(error).__mro__ if kind in options.errors), None)
    if kind is None:
        return None
    try:
        text = msgspec.json.encode(error.args)
        kind(*msgspec.json.decode(text))
    except Exception:  # noqa: BLE001 - a type of the user's may refuse its own arguments
        return None
    return Entry(msgspec.Raw(text), now_ms, options.fresh_ms(is_negative=True), versions, kind.__qualname__)
