"""The fields of a chat in the texts of a broadcast: ``{title}``, ``{language}``, ``{chat_id}``.

``{title|friend}`` stands for a chat whose title is not known. Any other braces are left as they are.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tempogram.engine.model.broadcasts import Addressee
from tempogram.engine.model.errors import SettingsError

FIELD = re.compile(r"\{(title|language|chat_id)(?:\|([^{}]*))?\}")

_MARKDOWN_V2 = re.compile(r"([_*\[\]()~`>#+\-=|{}.!\\])")
_MARKDOWN = re.compile(r"([_*`\[])")

ENTITIES = ("entities", "caption_entities")


def filled(params: Mapping[str, Any], addressee: Addressee) -> dict[str, Any]:
    """Return parameters in which the fields of a chat are filled in, escaped as their parse mode asks.

    >>> filled({"text": "Hi {title|you}, {x}!"}, Addressee(chat_id=7)), filled({"text": "{title}"}, _ANNA)
    ({'text': 'Hi you, {x}!'}, {'text': 'Anna <3'})
    >>> filled({"text": "<b>{title}</b>", "parse_mode": "HTML"}, _ANNA)["text"]
    '<b>Anna &lt;3</b>'
    """
    return {name: _filled(value, addressee, _escape_of(params)) for name, value in params.items()}


def has_fields(params: Mapping[str, Any]) -> bool:
    """Tell whether texts differ from chat to chat."""
    return any(FIELD.search(text) for text in _texts(params))


def check(params: Mapping[str, Any]) -> None:
    """Refuse fields in a text whose entities count its characters.

    Raises:
        SettingsError: One sentence with the way out.
    """
    for name in ENTITIES:
        if params.get(name) and has_fields(params):
            raise SettingsError(
                f"{name} count the characters of a text that fields would make longer; use parse_mode instead"
            )


_ANNA = Addressee(chat_id=7, title="Anna <3")


def _escape_of(params: Mapping[str, Any]) -> Callable[[str], str]:
    match str(params.get("parse_mode", "")).lower():
        case "html":
            return html.escape
        case "markdownv2":
            return lambda text: _MARKDOWN_V2.sub(r"\\\1", text)
        case "markdown":
            return lambda text: _MARKDOWN.sub(r"\\\1", text)
        case _:
            return str


def _filled(value: Any, addressee: Addressee, escape: Callable[[str], str]) -> Any:
    match value:
        case str():
            return FIELD.sub(lambda found: _value(found, addressee, escape), value)
        case list():
            return [_filled(each, addressee, escape) for each in value]
        case dict():
            return {name: _filled(each, addressee, escape) for name, each in value.items()}
        case _:
            return value


def _value(found: re.Match[str], addressee: Addressee, escape: Callable[[str], str]) -> str:
    value = getattr(addressee, found[1])
    return (found[2] or "") if value is None else escape(str(value))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
        case Mapping():
            for each in value.values():
                yield from _texts(each)
