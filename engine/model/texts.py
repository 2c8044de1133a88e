"""Characters that have no place in what a person or a program calls something."""

from __future__ import annotations

CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""In the brackets of a pattern: control characters, line breaks, and what turns the direction of writing."""

INVISIBLE = CONTROLS + r"\u00ad\u200b-\u200f\u2060-\u206f\ufeff"
"""The same with those that cannot be seen: two names that look alike would be different ones."""
