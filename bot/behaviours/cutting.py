"""Cuts a text to what one message takes."""

from __future__ import annotations

from tempogram.bot.validation.parameter_limits import TEXT_MAX, length_of

CUT = "…"
"""Ends a text that was cut."""


def cut(text: str, most: int = TEXT_MAX) -> str:
    """Cut a text to so many code points, between two characters as a reader sees them.

    A family, a flag or a letter with its accents is several code points, and is shown as a whole or not at all. Only
    where a single one is longer than a whole message is it cut itself.

    >>> cut("horse", most=5), cut("horses", most=5), cut("🐎" * 6, most=5)
    ('horse', 'hors…', '🐎🐎🐎🐎…')
    >>> cut("ab👨‍👩‍👧c", most=5), cut("🇫🇷🇩🇪🇫🇷", most=5)
    ('ab…', '🇫🇷🇩🇪…')
    """
    if length_of(text) <= most:
        return text
    room = most - len(CUT)
    return text[: _boundary(text, room) or room] + CUT


def _boundary(text: str, most: int) -> int:
    """Return where the last grapheme ends that ends at ``most`` or before."""
    import regex  # 2 MB, and most processes never cut a text

    at = 0
    for grapheme in regex.finditer(r"\X", text):
        if grapheme.end() > most:
            break
        at = grapheme.end()
    return at
