"""Single parameters out of a call, with Telegram's words when one is missing or wrong."""

from typing import Any

import msgspec

from tempogram.simulator.methods.calls import Params, bad_request
from tempogram.simulator.world.texts import length_of

TEXT_LIMIT = 4_096  # code points; https://core.telegram.org/constructor/config (message_length_max)
CAPTION_LIMIT = 1_024
NUMBER_LIMIT = 2**53  # beyond it JSON's numbers are not whole everywhere
IDS_LIMIT = 100  # of forwardMessages, copyMessages, deleteMessages, deleteBusinessMessages


def text_of(params: Params) -> str:
    """Return the text of a message, checked.

    Raises:
        Refused: It is missing, empty or too long.
    """
    text = params.get("text")
    if not isinstance(text, str):
        text = "" if text is None else str(text)
    if not text or text.isspace():
        raise bad_request("message text is empty")
    if is_longer(text, TEXT_LIMIT, params.get("parse_mode")):
        raise bad_request("message is too long")
    return text


def is_longer(text: str, limit: int, parse_mode: object = None) -> bool:
    """Tell whether a text is longer than Telegram takes; one that is short enough with its markup is not measured."""
    return len(text) > limit and length_of(text, str(parse_mode or "")) > limit


def caption_of(params: Params) -> str:
    """Return the caption, or "", checked."""
    caption = params.get("caption")
    if caption is None:
        return ""
    if is_longer(str(caption), CAPTION_LIMIT, params.get("parse_mode")):
        raise bad_request("message caption is too long")
    return str(caption)


def number_of(params: Params, name: str) -> int | None:
    """Return a whole number, or None if it was not given."""
    value = params.get(name)
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad_request(f'invalid value of parameter "{name}"') from error
    if abs(number) > NUMBER_LIMIT:
        raise bad_request(f'invalid value of parameter "{name}"')
    return number


def decimal_of(params: Params, name: str) -> float | None:
    """Return a number with a fraction, or None if it was not given."""
    value = params.get(name)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad_request(f'invalid value of parameter "{name}"') from error


def flag_of(params: Params, name: str) -> bool:
    """Return a yes or no that a form may spell as text."""
    return str(params.get(name, "")).lower() in {"true", "1", "yes"}


def json_of(params: Params, name: str) -> Any:
    """Return a value that a form must spell as JSON, and a JSON body may."""
    value = params.get(name)
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_request(f"can't parse {name} JSON object") from error


def list_of(params: Params, name: str) -> list[Any]:
    """Return a list; missing is empty."""
    value = json_of(params, name)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise bad_request(f"can't parse {name}: expected an array")
    return value


def bounded_list(params: Params, name: str, *, least: int = 0, most: int, few: str = "", many: str = "") -> list[Any]:
    """Return a list of so many items; ``few`` and ``many`` are Telegram's words for fewer and more, where known.

    Raises:
        Refused: It has fewer or more.
    """
    items = list_of(params, name)
    if len(items) < least:
        raise bad_request(few or f"there are too few {name} in the request")
    if len(items) > most:
        raise bad_request(many or f"there are too many {name} in the request")
    return items


def ids_of(params: Params) -> list[int]:
    """Return ``message_ids``, 1 to 100 of them.

    Raises:
        Refused: There are none, too many, or one is no number.
    """
    ids = bounded_list(
        params,
        "message_ids",
        least=1,
        most=IDS_LIMIT,
        few="message identifiers are not specified",
        many="too many message identifiers specified",
    )
    if not all(isinstance(message_id, int) for message_id in ids):
        raise bad_request("message identifiers are invalid")
    return ids


def require(params: Params, *names: str) -> None:
    """Refuse a call that lacks one of its parameters."""
    for name in names:
        if is_missing(params, name):
            raise bad_request(f'parameter "{name}" is required')


def is_missing(params: Params, name: str) -> bool:
    """Tell whether a parameter was left out or left empty."""
    value = params.get(name)
    return value is None or value == ""
