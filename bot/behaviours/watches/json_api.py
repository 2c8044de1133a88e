"""A source of watches: a JSON API over HTTP that is asked for one item at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

from tempogram.engine.watches.answers import NoAnswer

BYTES_MAX = 1 << 20
"""Of an answer. untuned: what is said of one item has a few KB."""

TIMEOUT = aiohttp.ClientTimeout(total=20)

GONE = {404, 410}

REDIRECTS = 300
"""Statuses from it on, up to those that are errors."""


DOTS = {".", ".."}
"""Keys that are no names: in an address they mean another one, also quoted."""


class AnswerTooLarge(NoAnswer, OSError):
    """An answer has more bytes than are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonApi:
    """Asks for one item: ``JsonApi(url="https://shop.example/items/{key}", fields={"price": "offer.price"})``.

    An answer of 404 or 410 means that there is no such item; any other that is not 2xx that it is not known now. A
    redirect is not followed: it would carry the headers to an address that is not declared.

    Attributes:
        url: ``{key}`` in it is the item's key, quoted. It may hold an API key: nothing shows it.
        fields: Each field's name, and where it stands in the answer: names and numbers of a list, joined by dots.
            Empty: every number, text and truth value at the top of the answer.
        headers: Sent with each request.
    """

    url: str = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def __call__(self, key: str) -> dict[str, Any]:
        if key in DOTS:
            return {}
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, headers=self.headers) as session,
            session.get(self.url.replace("{key}", quote(key, safe="")), allow_redirects=False) as response,
        ):
            if response.status in GONE:
                return {}
            response.raise_for_status()
            if response.status >= REDIRECTS:
                raise NoAnswer(f"{response.url.host} redirects to another address; declare that one")
            return self._read(json.loads(await _body(response)))

    def _read(self, answer: Any) -> dict[str, Any]:
        if self.fields:
            return {name: _at(answer, path) for name, path in self.fields.items()}
        if not isinstance(answer, dict):
            raise NoAnswer(f"the answer is no JSON object, but {type(answer).__name__}")
        return {name: value for name, value in answer.items() if not isinstance(value, list | dict)}


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > BYTES_MAX:
            raise AnswerTooLarge(f"an answer of {response.url.host} is larger than {BYTES_MAX:,} bytes")
    return body


def _at(answer: Any, path: str) -> Any:
    """Return what stands at a path; None: nothing does.

    >>> _at({"offers": [{"price": 9}]}, "offers.0.price"), _at({}, "price")
    (9, None)
    """
    for name in path.split("."):
        if isinstance(answer, list) and name.isdecimal() and int(name) < len(answer):
            answer = answer[int(name)]
        elif isinstance(answer, dict):
            answer = answer.get(name)
        else:
            return None
    return answer
