"""The parameters of a call, whichever way they come, and no more of them than there may be."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import Request

from tempogram.api.core.errors import Malformed, TooLarge
from tempogram.api.http.body_reader import BodyMemory
from tempogram.api.http.call_params import read_params
from tests.api.fakes import World

URLENCODED = "application/x-www-form-urlencoded; charset=utf-8"


def request(
    body: bytes = b"", *, query: bytes = b"", content_type: str = "application/json", **headers: str
) -> Request:
    named = {"content-type": content_type, **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "query_string": query,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    return Request(scope, receive)


async def read(given: Request) -> dict[str, Any]:
    dependencies = World().dependencies
    async with AsyncExitStack() as stack:
        return (await read_params(given, dependencies, BodyMemory(), stack))[0]


async def test_the_body_goes_before_the_query() -> None:
    found = await read(request(b'{"text":"b","count":3}', query=b"chat_id=7&text=a"))

    assert found == {"chat_id": "7", "text": "b", "count": 3}


async def test_a_parameter_without_a_value_is_none() -> None:
    assert await read(request(b'{"text":"a","reply_markup":null}')) == {"text": "a"}


async def test_an_empty_body_has_no_parameters() -> None:
    assert await read(request(b" ")) == {}


async def test_an_empty_field_of_a_form_stays() -> None:
    assert await read(request(b"text=&chat_id=7", content_type=URLENCODED)) == {"text": "", "chat_id": "7"}


@pytest.mark.parametrize("body", [b"[1]", b'"a"', b"{", b'{"a":NaN}', b"\xff", b"[" * 100_000])
async def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        await read(request(body))


async def test_too_many_fields_are_malformed() -> None:
    with pytest.raises(Malformed):
        await read(request(b"&".join(b"a%d=1" % number for number in range(101)), content_type=URLENCODED))


async def test_a_body_that_is_declared_too_large_is_not_read() -> None:
    with pytest.raises(TooLarge):
        await read(request(b"{}", content_length="2000000"))


async def test_a_body_that_turns_out_too_large_is_not_kept() -> None:
    with pytest.raises(TooLarge):
        await read(request(b" " * 2_000_000))
