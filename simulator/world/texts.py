"""What Telegram finds in a text: its length, commands and mentions."""

import html
import re
from typing import Any

ENTITIES = re.compile(r"(?<![\w/@])(?:(?P<bot_command>/[A-Za-z0-9_]{1,32}(?:@\w{3,32})?)|(?P<mention>@\w{3,32}))")

TAG = re.compile(r"<[^<>]*>")
DROPPED = re.compile("[\r\u0333\u033f\u030a\u2028-\u202e]")  # https://github.com/tdlib/td (clean_input_string)


def utf16_length(text: str) -> int:
    r"""Count UTF-16 units, in which Telegram places entities.

    Source: https://core.telegram.org/api/entities#entity-length

    >>> utf16_length("a"), utf16_length("\U0001f600")
    (1, 2)
    """
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def length_of(text: str, parse_mode: str = "") -> int:
    r"""Count code points, in which Telegram measures texts: without markup, and without what it takes out of them.

    Only HTML is taken out here: of a text in Markdown the length is not known, and 0.

    Source: https://core.telegram.org/constructor/config (``message_length_max``: "length in utf8 codepoints")

    >>> length_of("\U0001f600 \n"), length_of("<b>a</b> &lt;", "HTML"), length_of("*a*", "MarkdownV2")
    (1, 3, 0)
    """
    if parse_mode:
        if parse_mode.lower() != "html":
            return 0
        text = html.unescape(TAG.sub("", text))
    return len(DROPPED.sub("", text).strip())


def entities_of(text: str) -> list[dict[str, Any]]:
    """Find commands and mentions.

    >>> entities_of("/start @anna")
    [{'type': 'bot_command', 'offset': 0, 'length': 6}, {'type': 'mention', 'offset': 7, 'length': 5}]
    """
    return [
        {
            "type": match.lastgroup,
            "offset": utf16_length(text[: match.start()]),
            "length": len(match.group()),
        }
        for match in ENTITIES.finditer(text)
    ]


def is_command(text: str) -> bool:
    """Tell whether a text begins with a command."""
    match = ENTITIES.match(text)
    return match is not None and match.lastgroup == "bot_command"


def mentions(text: str, username: str) -> bool:
    """Tell whether a text names a user.

    >>> mentions("hello @Echo_bot!", "echo_bot"), mentions("hello @echo_bots", "echo_bot")
    (True, False)
    """
    return re.search(rf"@{re.escape(username)}\b", text, re.IGNORECASE) is not None
