"""Quotes foreign values in errors and logs: short, and without tokens and passwords."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

QUOTED_MAX = 60

TOKEN = re.compile(r"(?<!\d)(\d{1,19}):(?=[0-9-]*[A-Za-z_])[A-Za-z0-9_-]{5,}")
"""What looks like a bot's token; a time of day or a port does not.

Source: https://core.telegram.org/bots/api#authorizing-your-bot
"""

USER_OF_URL = re.compile(r"(?<=://)[^\s/?#@\"'<>][^\s\"'<>]*@")
"""What stands before the host in a URL; a password may have any sign."""


def short(value: object) -> str:
    """Quote a value, cut to ``QUOTED_MAX`` characters.

    >>> short("a" * 100) == "'" + "a" * 58 + "…"
    True
    """
    text = repr(value)
    return text if len(text) <= QUOTED_MAX else f"{text[: QUOTED_MAX - 1]}…"


def without_tokens(text: str) -> str:
    """Replace everything that looks like a bot token, or like a user and a password in a URL.

    >>> without_tokens("no such bot: 123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11")
    'no such bot: 123456:…'
    >>> without_tokens("cannot reach redis://me:p@ss/word@cache:6379/0")
    'cannot reach redis://…@cache:6379/0'
    """
    if "://" in text and "@" in text:
        text = USER_OF_URL.sub("…@", text)
    return TOKEN.sub(r"\1:…", text)


def origin(url: str) -> str:
    """Return what may be shown of a URL: no user and password, and nothing behind the host.

    >>> origin("https://key@llm.example.org:8443/v1?key=2"), origin("http://[::1]:80/x"), origin("http://[")
    ('https://llm.example.org:8443', 'http://[::1]:80', '…')
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "…"
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
