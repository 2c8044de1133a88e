"""The format of a bot token.

Source: https://core.telegram.org/bots/api#authorizing-your-bot
"""

from __future__ import annotations

import re

TOKEN = re.compile(r"([0-9]{1,18}):([A-Za-z0-9_-]{1,128})")

LOOKS_LIKE = "one looks like 123456:ABC-DEF; get it from @BotFather"


def is_token(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None


def bot_id_of(token: str) -> int:
    """Return the number before the colon.

    >>> bot_id_of("42:secret")
    42
    """
    return int(token.partition(":")[0])
