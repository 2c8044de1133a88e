"""Refuses values that make no sense, in one sentence."""

from __future__ import annotations

from tempogram.engine.model.errors import SettingsError

SECONDS_MIN, SECONDS_MAX = 0.001, 86_400.0
"""Of a time-out or a deadline."""

DELAY_S_MAX = 3_600.0
"""Before the first retry."""

RETRIES_MAX = 100

FULL = ("refuse", "wait")
"""What a call may do while too many wait."""


def number(name: str, value: object, least: float, most: float) -> None:
    """Refuse what is no number between two others.

    Raises:
        SettingsError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise SettingsError(f"{name} is {value!r}; it must be a number from {least:,} to {most:,}")


def whole_number(name: str, value: object, least: int, most: int) -> None:
    """Do as ``number``, and refuse parts of one."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"{name} is {value!r}; it must be a whole number from {least:,} to {most:,}")


def one_of(name: str, value: object, words: tuple[str, ...]) -> None:
    """Refuse what is none of some words."""
    if value not in words:
        raise SettingsError(f"{name} is {value!r}; it must be {' or '.join(words)}")
