"""IETF language tags, as Telegram gives them: ``de``, ``pt-br``.

Source: https://en.wikipedia.org/wiki/IETF_language_tag
"""

from __future__ import annotations

import re

LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}")


def is_language(tag: str) -> bool:
    """Tell whether it looks like a language tag.

    >>> is_language("pt-BR"), is_language("Klingon!")
    (True, False)
    """
    return LANGUAGE.fullmatch(tag) is not None
