"""Quotes foreign values in errors and logs: short, and without tokens."""

from __future__ import annotations

import re

QUOTED_MAX = 60

TOKEN = re.compile(r"(?<!\d)(\d{1,19}):(?=[0-9-]*[A-Za-z_])[A-Za-z0-9_-]{5,}")
"""What looks like a bot's token; a time of day or a port does not.

Source: https://core.telegram.org/bots/api#authorizing-your-bot
"""


def short(value: object) -> str:
    """Quote a value, cut to ``QUOTED_MAX`` characters.

    >>> short("a" * 100) == "'" + "a" * 58 + "…"
    True
    """
    text = repr(value)
    return text if len(text) <= QUOTED_MAX else f"{text[: QUOTED_MAX - 1]}…"


def without_tokens(text: str) -> str:
    """Replace everything that looks like a bot token.

    >>> without_tokens("no such bot: 123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11")
    'no such bot: 123456:…'
    """
    return TOKEN.sub(r"\1:…", text)
