"""The parameters of a call of the Bot API, in each way in which Telegram takes them.

Source: https://core.telegram.org/bots/api#making-requests
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from fastapi import Request
from starlette.datastructures import Headers

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import Malformed, TooLarge
from tempogram.api.core.json_depth import TOO_DEEP, is_too_deep
from tempogram.api.http.body_limits import declared_bytes, is_form
from tempogram.api.http.body_reader import BodyMemory, BodyReader
from tempogram.api.http.forms import PARTS_MAX, Form
from tempogram.api.schemas.messages import MessageIn
from tempogram.storage.files.spool import Spooled

URLENCODED = "application/x-www-form-urlencoded"


def bounded(request: Request, dependencies: Dependencies) -> Request:
    """Return a request of whose body no more is read than such a call may have, as a stream.

    Raises:
        TooLarge: Its head says already that it is larger.
    """
    return Request(request.scope, _reader(request, dependencies))


def _reader(request: Request, dependencies: Dependencies, memory: BodyMemory | None = None) -> BodyReader:
    bytes_max = dependencies.form_bytes_max if is_form(request.headers) else dependencies.body_bytes_max
    if declared_bytes(request.scope) > bytes_max:
        raise TooLarge(bytes_max)
    return BodyReader(request.receive, bytes_max, memory)


async def read_params(
    request: Request, dependencies: Dependencies, memory: BodyMemory, stack: AsyncExitStack
) -> tuple[dict[str, Any], Mapping[str, Spooled]]:
    """Read the parameters and files of a call; what the body says goes before the query.

    Args:
        request: Its body is read no further than such a call may have.
        dependencies: Those of the app.
        memory: Of the bodies of the app that are not forms.
        stack: Deletes the files when it closes.

    Raises:
        Malformed: The body is not what its head says.
        Invalid, TooLarge, FileTooLarge: See ``Form.read``.
        BodyTooSlow, Busy: See ``BodyReader``.
    """
    given: dict[str, Any] = _pairs(request.scope["query_string"])
    if is_form(request.headers):
        form = Form(dependencies, stack, MessageIn)
        await form.read(bounded(request, dependencies))
        return given | form.fields, form.files
    reader = _reader(request, dependencies, memory)
    try:
        body = await Request(request.scope, reader).body()
    finally:
        reader.close()
    said = _pairs(body) if is_urlencoded(request.headers) else _object(body)
    return given | {name: value for name, value in said.items() if value is not None}, {}


def is_urlencoded(headers: Headers) -> bool:
    return headers.get("content-type", "").lower().startswith(URLENCODED)


def _pairs(text: bytes) -> dict[str, str]:
    """Return the fields of a form or a query.

    >>> _pairs(b"chat_id=7&text=a+b")
    {'chat_id': '7', 'text': 'a b'}
    """
    try:
        return dict(parse_qsl(text.decode(), keep_blank_values=True, max_num_fields=PARTS_MAX))
    except ValueError as error:  # UnicodeDecodeError is one
        raise Malformed(f"the parameters cannot be read: {error}") from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise Malformed("the body should be a JSON object")
    if is_too_deep(said):
        raise Malformed(f"the body is too deep: {TOO_DEEP}")
    return said
