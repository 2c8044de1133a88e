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

FORMATTED = frozenset({"text", "caption"})
"""Texts to which the ``parse_mode`` beside them applies; so does that of a checklist to its title."""

ENTITIES = "entities"
"""How the names of parameters end that count the characters of a text."""

Escape = Callable[[str], str]


def filled(params: Mapping[str, Any], addressee: Addressee) -> dict[str, Any]:
    """Return parameters in which the fields of a chat are filled in, escaped as the parse mode of each text asks.

    Parameters that are JSON in a text must have been read before: a title may have any characters.

    >>> filled({"text": "Hi {title|you}, {x}!"}, Addressee(chat_id=7)), filled({"text": "{title}"}, _ANNA)
    ({'text': 'Hi you, {x}!'}, {'text': 'Anna <3'})
    >>> filled({"text": "<b>{title}</b>", "parse_mode": "HTML"}, _ANNA)["text"]
    '<b>Anna &lt;3</b>'
    """
    return {name: _filled(value, addressee, _escape_of(params, name)) for name, value in params.items()}


def check(params: Mapping[str, Any]) -> None:
    """Refuse fields in a text whose entities count its characters, at any depth: an item of an album, a poll's option.

    Raises:
        SettingsError: One sentence with the way out.
    """
    for holder in _holders(params):
        for name, value in holder.items():
            if value and name.endswith(ENTITIES) and _has_fields(holder.get(_text_of(name))):
                raise SettingsError(
                    f"{name} count the characters of a text that fields would make longer; use parse_mode instead"
                )


_ANNA = Addressee(chat_id=7, title="Anna <3")


def _text_of(entities: str) -> str:
    """Return the text whose characters these entities count.

    >>> [_text_of(name) for name in ("entities", "caption_entities", "question_entities")]
    ['text', 'caption', 'question']
    """
    return entities.removesuffix(ENTITIES).removesuffix("_") or "text"


def _escape_of(holder: Mapping[str, Any], name: str) -> Escape:
    match str(_parse_mode_of(holder, name)).lower():
        case "html":
            return html.escape
        case "markdownv2":
            return lambda text: _MARKDOWN_V2.sub(r"\\\1", text)
        case "markdown":
            return lambda text: _MARKDOWN.sub(r"\\\1", text)
        case _:
            return str


def _parse_mode_of(holder: Mapping[str, Any], name: str) -> Any:
    """Return the parse mode beside a text; that of a question or an option has the text's name before it."""
    if name in FORMATTED or (name == "title" and "tasks" in holder):
        return holder.get(f"{name}_parse_mode", holder.get("parse_mode"))
    return holder.get(f"{name}_parse_mode")


def _filled(value: Any, addressee: Addressee, escape: Escape) -> Any:
    match value:
        case str():
            return FIELD.sub(lambda found: _value(found, addressee, escape), value)
        case list():
            return [_filled(each, addressee, escape) for each in value]
        case dict():
            return filled(value, addressee)
        case _:
            return value


def _has_fields(text: object) -> bool:
    return isinstance(text, str) and FIELD.search(text) is not None


def _holders(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in parameters, themselves first."""
    match value:
        case list():
            for each in value:
                yield from _holders(each)
        case Mapping():
            yield value
            for each in value.values():
                yield from _holders(each)


def _value(found: re.Match[str], addressee: Addressee, escape: Callable[[str], str]) -> str:
    value = addressee.to if found[1] == "chat_id" else getattr(addressee, found[1])
    return (found[2] or "") if value is None else escape(str(value))
