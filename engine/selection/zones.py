"""Time zones by their IANA names, and by the city that a person writes.

Source: https://www.iana.org/time-zones
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache
from zoneinfo import available_timezones

CHARACTERS_MAX = 64
"""The longest name has 30."""


@cache
def zones() -> frozenset[str]:
    """Return the names of all zones."""
    return frozenset(available_timezones())


def is_zone(name: str) -> bool:
    """Tell whether it is an IANA name.

    >>> [is_zone(name) for name in ("Europe/Berlin", "Europe", "Berlin", "", "../UTC")]
    [True, False, False, False, False]
    """
    return name in zones()


def find_zone(text: str) -> str | None:
    """Return the zone that a person means: by its name, or by its city, however they are spelled.

    >>> find_zone("europe/berlin"), find_zone("São Paulo"), find_zone("new york"), find_zone("the moon")
    ('Europe/Berlin', 'America/Sao_Paulo', 'America/New_York', None)
    """
    return _by_spelling().get(_spelling(text)) if 0 < len(text) <= CHARACTERS_MAX else None


@cache
def _by_spelling() -> Mapping[str, str]:
    """Return zones by plain spellings. A whole name goes before a city; of two cities the one with a shorter name."""
    ordered = sorted(zones(), key=lambda name: (-len(name), name))
    cities = {_spelling(name.rpartition("/")[2]): name for name in ordered if "/" in name and not _is_offset(name)}
    return {**cities, **{_spelling(name): name for name in ordered}}


def _is_offset(name: str) -> bool:
    """``Etc/GMT+3`` is three hours behind Greenwich, and not what a person means by GMT+3."""
    return name.startswith("Etc/")


def _spelling(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.strip().replace("_", " ").replace("-", " "))
    return " ".join("".join(each for each in letters if not unicodedata.combining(each)).casefold().split())
