"""Types of fields that a client may write in more than one way, each read into one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, overload

from pydantic import BeforeValidator, Strict, StringConstraints, WithJsonSchema

from tempogram.engine.model.texts import INVISIBLE

TELEGRAM_ID_MAX = (1 << 52) - 1
"""Ids have at most 52 significant bits. Source: https://core.telegram.org/bots/api#chat"""

SEND_AT_S_MAX = 4_102_444_800
"""The year 2100. A larger number is milliseconds by mistake."""


def digits_up_to(largest: int) -> str:
    """Return the pattern of positive numbers up to the largest.

    >>> digits_up_to(4305)
    '([1-9][0-9]{0,2}|[1-3][0-9]{3}|4[0-2][0-9]{2}|430[0-5])'
    """
    digits = str(largest)
    shorter = f"[1-9][0-9]{{0,{len(digits) - 2}}}"
    same_length = (_smaller(digits, position) for position in range(len(digits)))
    return f"({'|'.join([shorter, *filter(None, same_length)])})"


def _smaller(digits: str, position: int) -> str:
    """Return the pattern of what is the same before a position and smaller at it; at the last position, or equal."""
    is_last = position == len(digits) - 1
    least, most = int(position == 0), int(digits[position]) - (not is_last)
    rest = "" if is_last else f"[0-9]{{{len(digits) - position - 1}}}"
    return "" if most < least else f"{digits[:position]}[{least}-{most}]{rest}"


DIGITS = digits_up_to(TELEGRAM_ID_MAX)

NUMBER = re.compile(f"-?{DIGITS}")
TAG = re.compile(f"[^{INVISIBLE}]{{1,64}}")

HALF_OF_A_PAIR = re.compile(r"[\ud800-\udfff]")
"""Strict JSON has none, and no column can store one."""

USERNAME = re.compile(r"@[A-Za-z][A-Za-z0-9_]{1,63}")


def read_bot(value: object) -> int:
    """Return a bot's id.

    >>> read_bot("42"), read_bot(42)
    (42, 42)
    """
    number = _number(value)
    if number is None or not 0 < number <= TELEGRAM_ID_MAX:
        raise ValueError("should be a bot's id, the number before the colon of its token")
    return number


def read_user(value: object) -> int | None:
    """Return a user's id, or None for none.

    >>> read_user("7"), read_user(7), read_user(None)
    (7, 7, None)
    """
    number = _number(value)
    if value is not None and (number is None or not 0 < number <= TELEGRAM_ID_MAX):
        raise ValueError("should be a user's id, a number above 0")
    return number


def read_chat(value: object) -> int | str | None:
    """Return a chat's id, or the name of a public one.

    >>> read_chat("-100123"), read_chat("@news")
    (-100123, '@news')
    """
    number = _number(value)
    if number is not None and 0 < abs(number) <= TELEGRAM_ID_MAX:
        return number
    if isinstance(value, str) and USERNAME.fullmatch(value):
        return value
    raise ValueError("should be a chat's id or its @name")


def read_tag(value: object) -> str:
    r"""Return a message's tag.

    >>> read_tag("spring sale"), TAG.fullmatch("spring\n") is None
    ('spring sale', True)
    """
    if isinstance(value, str) and TAG.fullmatch(value) and not HALF_OF_A_PAIR.search(value):
        return value
    raise ValueError("should have 1 to 64 printable characters")


def read_time_ms(value: object) -> int:
    """Return milliseconds since the epoch.

    >>> read_time_ms("2026-01-01T12:00:00+01:00") == read_time_ms(1_767_265_200)
    True
    """
    seconds = _seconds(value)
    if seconds is None or not 0 <= seconds <= SEND_AT_S_MAX:
        raise ValueError("should be ISO 8601 with a zone (2026-01-01T12:00:00Z) or seconds since the epoch")
    return round(seconds * 1_000)


@overload
def time_of(ms: int) -> datetime: ...


@overload
def time_of(ms: int | None) -> datetime | None: ...


def time_of(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1_000, UTC)


def read_flag(value: object) -> object:
    """Return the boolean that a query spells as a word; pydantic would accept ``on``, ``1`` and others, too.

    >>> read_flag("true"), read_flag("on")
    (True, 'on')
    """
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _whole(value: object) -> object:
    """Return a float without a fraction as an int: JSON has one kind of number only.

    >>> _whole(3.0), _whole(3.5)
    (3, 3.5)
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> int | None:
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return int(value)
    value = _whole(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _seconds(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return moment.timestamp() if isinstance(moment, datetime) and moment.tzinfo else None


def _either(*kinds: dict[str, Any], description: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": list(kinds), "description": description})


BotId = Annotated[
    int,
    BeforeValidator(read_bot),
    _either(
        {"type": "string", "pattern": f"^{DIGITS}$"},
        {"type": "integer", "minimum": 1, "maximum": TELEGRAM_ID_MAX},
        description="A bot's id: the number before the colon of its token.",
    ),
]

UserId = Annotated[
    int | None,
    BeforeValidator(read_user),
    _either(
        {"type": "integer", "minimum": 1, "maximum": TELEGRAM_ID_MAX},
        {"type": "string", "pattern": f"^{DIGITS}$"},
        {"type": "null"},
        description="The user who triggered it: it counts against the limit of what one user may make a bot send.",
    ),
]

ChatField = Annotated[
    int | str,
    BeforeValidator(read_chat),
    _either(
        {"type": "integer", "minimum": 1, "maximum": TELEGRAM_ID_MAX},
        {"type": "integer", "minimum": -TELEGRAM_ID_MAX, "maximum": -1},
        {"type": "string", "pattern": f"^({NUMBER.pattern}|{USERNAME.pattern})$"},
        description="A chat's id, negative for groups and channels, or the @name of a public one.",
    ),
]

TimeMs = Annotated[
    int,
    BeforeValidator(read_time_ms),
    _either(
        {"type": "string", "format": "date-time"},
        {"type": "number", "minimum": 0, "maximum": SEND_AT_S_MAX},
        description="ISO 8601 with a zone, or seconds since the epoch.",
    ),
]

QueryTimeMs = Annotated[
    int,
    BeforeValidator(read_time_ms),
    _either({"type": "string", "format": "date-time"}, description="ISO 8601 with a zone."),
]

Tag = Annotated[
    str,
    BeforeValidator(read_tag),
    _either(
        {"type": "string", "pattern": f"^{TAG.pattern}$"},
        description="A label of one's own, such as the name of a campaign: 1 to 64 printable characters.",
    ),
]

Flag = Annotated[bool, Strict()]

QueryFlag = Annotated[bool, Strict(), BeforeValidator(read_flag)]

AS_WHOLE = BeforeValidator(_whole)
"""Must be last: only bounds before it appear in the API's description."""

MessageId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
"""Ours are 26 hex digits; this only refuses what no column can store."""
