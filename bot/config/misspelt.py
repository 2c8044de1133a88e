"""Environment variables that are probably settings, mistyped: named, and never refused, as they may be others'."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from tempogram.bot.config.secret_files import SUFFIX, secrets_of
from tempogram.bot.config.settings import Settings

EDITS_MAX = 2
"""Letters that are wrong, missing, too many or swapped."""

SHORT, TOO_SHORT = 8, 6
"""A name with fewer letters bears one edit, or none: ``HOME`` is not ``HOST``, and ``POST`` not ``PORT``."""

SHORT_WORD = 5
"""A word of a name with fewer letters bears one edit: ``REDIS_TTL`` is not ``REDIS_URL``."""


def misspelt(declared: Iterable[str] = (), *, unused: Collection[str] = ()) -> list[tuple[str, str]]:
    """Return each variable of the environment and ``.env`` that is nearly a setting, and that setting.

    Args:
        declared: Names that a user's code reads, in upper case; they are as good as ours.
        unused: Settings in lower case that this process does not act upon, which no variable can mean.
    """
    given = {name.upper() for source in (EnvSettingsSource, DotEnvSettingsSource) for name in source(Settings).env_vars}
    known = [*(name.upper() for name in names() if name not in unused), *declared]
    ours = {*known, *(name.upper() for name in unused)}
    return [(name, near) for name in sorted(given - ours) if (near := nearest(name, known))]


def names() -> Iterator[str]:
    """Return every name that has a meaning, in lower case."""
    yield from Settings.model_fields
    yield from (name + SUFFIX for name in secrets_of(Settings))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant.

    >>> nearest("TELEGRAM_GROUP_LIMITS", ["TELEGRAM_GROUP_LIMIT", "TELEGRAM_GROUP_BURST"])
    'TELEGRAM_GROUP_LIMIT'
    >>> [nearest(name, ["HOST", "PORT", "REDIS_URL"]) for name in ("HOME", "PORTS", "REDIS_TTL", "REDIS_ULR")]
    [None, None, None, 'REDIS_URL']
    """
    candidates = [each for each in known if abs(len(each) - len(name)) <= EDITS_MAX and _words_are_near(name, each)]
    for edits in range(1, EDITS_MAX + 1):
        for each in candidates:
            if edits <= _edits_of(each) and _is_within(name, each, edits):
                return each
    return None


def _edits_of(name: str) -> int:
    return 0 if len(name) < TOO_SHORT else 1 if len(name) < SHORT else EDITS_MAX


def _words_are_near(name: str, known: str) -> bool:
    given, wanted = name.split("_"), known.split("_")
    return len(given) != len(wanted) or all(
        len(word) >= SHORT_WORD or _is_within(written, word, 1) for written, word in zip(given, wanted, strict=True)
    )


def _is_within(one: str, other: str, edits: int) -> bool:
    """Tell whether so many edits lead from one word to the other; a swap of neighbours is one."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
    one, other = one[same:], other[same:]
    if not one or not other or not edits:
        return len(one) + len(other) <= edits
    rest = [(one[1:], other), (one, other[1:]), (one[1:], other[1:])]
    if one[:2] == other[1::-1]:
        rest.append((one[2:], other[2:]))
    return any(_is_within(*each, edits - 1) for each in rest)
