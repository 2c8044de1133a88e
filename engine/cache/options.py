"""What may be kept of an answer, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tempogram.engine.model.errors import SettingsError

LIFE_S_MAX = 2_678_400.0
"""31 days: longer nothing is kept."""

TAG_MAX, TAGS_MAX = 200, 20
"""Characters of a tag; tags of an entry."""

_SECONDS = ("ttl_s", "early_s", "stale_s", "stale_if_error_s", "negative_ttl_s", "slower_than_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """How an answer is kept; times are in seconds.

    A value that makes no sense raises ``SettingsError``.

    Attributes:
        ttl_s: So long it is fresh.
        early_s: In so much of the end of that time the first caller has it computed anew, without waiting.
        stale_s: So long after it is returned all the same, while it is computed anew.
        stale_if_error_s: So long after it is returned if computing it anew fails.
        negative_ttl_s: How long ``None`` and ``errors`` are fresh; None: as any other answer.
        slower_than_s: It is kept only if computing it took longer: what is quick had better be new.
        errors: Errors that are answers, such as "there is no such film": kept, and raised again with their arguments.
        tags: Names under which it is forgotten together with others.
        type: What callers get: anything that msgspec makes of JSON, such as a dataclass; Any: JSON's own types.
    """

    ttl_s: float
    early_s: float = 0.0
    stale_s: float = 0.0
    stale_if_error_s: float = 0.0
    negative_ttl_s: float | None = None
    slower_than_s: float = 0.0
    errors: tuple[type[Exception], ...] = ()
    tags: tuple[str, ...] = ()
    type: Any = Any

    def __post_init__(self) -> None:
        for name in _SECONDS:
            if (value := getattr(self, name)) is not None:
                _check_seconds(name, value, above_zero=name.endswith("ttl_s"))
        if self.ttl_s + max(self.stale_s, self.stale_if_error_s) > LIFE_S_MAX:
            raise SettingsError(f"an answer is kept for {LIFE_S_MAX:,.0f} s (31 days) with stale times")
        if self.early_s >= self.ttl_s:
            raise SettingsError(f"early_s is {self.early_s:g}; it must be less than ttl_s, {self.ttl_s:g}")
        _check_tags(self.tags)
        if not isinstance(self.errors, tuple) or not all(map(_is_error, self.errors)):
            raise SettingsError(f"errors is {self.errors!r}; it must be a tuple of types of exceptions")

    @property
    def stale_ms(self) -> int:
        return round(1_000 * self.stale_s)

    @property
    def stale_if_error_ms(self) -> int:
        return round(1_000 * self.stale_if_error_s)

    def fresh_ms(self, *, is_negative: bool) -> int:
        ttl_s = self.ttl_s if self.negative_ttl_s is None or not is_negative else self.negative_ttl_s
        return max(1, round(1_000 * ttl_s))


def options_of(table: Any, base: CacheOptions | None = None) -> CacheOptions | None:
    """Return the options of a table of ``services.toml``; what it leaves out is as in ``base``; ``false`` is None.

    >>> options_of({"ttl_s": 300, "stale_s": 60}).stale_ms
    60000

    Raises:
        SettingsError: It makes no sense.
    """
    if table is False:
        return None
    if not isinstance(table, Mapping):
        raise SettingsError(f"cache is {table!r}; it must be a table such as {{ttl_s = 300}}, or false")
    words = {each.name for each in fields(CacheOptions)} - {"errors", "type"}
    for word in table:
        if word not in words:
            raise SettingsError(f"{word} is no word of a cache; there are {', '.join(sorted(words))}")
    if "ttl_s" not in table and base is None:
        raise SettingsError("cache has no ttl_s: the seconds for which an answer is kept")
    given: dict[str, Any] = {word: tuple(value) if isinstance(value, list) else value for word, value in table.items()}
    return CacheOptions(**given) if base is None else replace(base, **given)


def _check_seconds(name: str, value: object, *, above_zero: bool) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= float(str(value)) <= LIFE_S_MAX or (above_zero and not value):
        least = "above 0" if above_zero else "from 0"
        raise SettingsError(f"{name} is {value!r}; it must be seconds, {least} to {LIFE_S_MAX:,.0f} (31 days)")


def _check_tags(tags: object) -> None:
    if not isinstance(tags, tuple) or len(tags) > TAGS_MAX:
        raise SettingsError(f"tags is {tags!r}; it must be a tuple of up to {TAGS_MAX} texts")
    for tag in tags:
        if not isinstance(tag, str) or not 0 < len(tag) <= TAG_MAX:
            raise SettingsError(f"a tag is {tag!r}; it must be a text of 1 to {TAG_MAX} characters")


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)
