"""The Bot API's wire format: parameters out of a request, answers into a response.

Source: https://core.telegram.org/bots/api#making-requests
"""

import re
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

import msgspec
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest

from tempogram.simulator.methods.calls import Params, Refused, Upload, bad_request

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

TOKEN_PATH = re.compile(r"/bot(?P<token>(?P<bot_id>\d{1,18}):[A-Za-z0-9_-]{1,128})/(?P<method>\w{1,64})/?")
FIELD_LIMIT_BYTES = 1_000_000
ATTACHED = "attach://"
TEXTS = frozenset({"text", "caption"})  # where the same letters are words
JSON_TYPE = "application/json"


def split_path(raw_path: str) -> tuple[str, str]:
    """Split the path from the query string.

    >>> split_path("/bot1:a/getMe?x=1")
    ('/bot1:a/getMe', 'x=1')
    """
    path, _, query = raw_path.partition("?")
    return (unquote(path) if "%" in path else path), query


async def read_params(request: BaseRequest, query: str, *, body_limit_bytes: int) -> Params:
    """Read what a call was given, from the query and from a JSON, form or multipart body.

    Raises:
        Refused: 400 if the body cannot be parsed, 413 if it is too large.
    """
    params: Params = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
    if not request.body_exists:
        return params
    if (request.content_length or 0) > body_limit_bytes:
        raise _too_large()
    content_type = request.content_type
    if content_type == "multipart/form-data":
        return params | await _read_multipart(request, body_limit_bytes)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    if not body:
        return params
    given = _parse_form(body) if content_type == "application/x-www-form-urlencoded" else _parse_json(body)
    return params | given if params else given


def answer(result: Any) -> web.Response:
    """Shape a success.

    Raises:
        Refused: 400 if it repeats a number of the client's that is beyond JSON's reach.
    """
    try:
        body = encode({"ok": True, "result": result})
    except OverflowError as error:
        raise bad_request("can't parse a number: it is out of range") from error
    return web.Response(body=body, content_type=JSON_TYPE)


def refusal(refused: Refused) -> web.Response:
    """Shape an error; its HTTP status is its code."""
    body: dict[str, Any] = {"ok": False, "error_code": refused.code, "description": refused.description}
    if refused.parameters:
        body["parameters"] = refused.parameters
    response = web.Response(status=refused.code, body=encode(body), content_type=JSON_TYPE)
    if "retry_after" in refused.parameters:
        response.headers["Retry-After"] = str(refused.parameters["retry_after"])
    return response


def _parse_json(body: bytes) -> Params:
    try:
        given = decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request("can't parse JSON object") from error
    if not isinstance(given, dict):
        raise bad_request("can't parse JSON object: an object was expected")
    return given


def _parse_form(body: bytes) -> Params:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except (UnicodeDecodeError, ValueError) as error:
        raise bad_request("can't parse form") from error


async def _read_multipart(request: BaseRequest, body_limit_bytes: int) -> Params:
    params: Params = {}
    left_bytes = body_limit_bytes
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise bad_request("can't parse multipart: parts inside parts")
            kept = bytearray()
            size_bytes, digest = 0, sha256()
            while chunk := await part.read_chunk():
                size_bytes += len(chunk)
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    raise _too_large()
                if part.filename is None:
                    kept += chunk
                else:
                    digest.update(chunk)
            if len(kept) > FIELD_LIMIT_BYTES:
                raise _too_large()
            name = part.name or part.filename or ""
            params[name] = kept.decode() if part.filename is None else _upload(size_bytes, digest.hexdigest())
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError) as error:
        raise bad_request("can't parse multipart body") from error
    return {name: value if name in TEXTS else _attached(value, params) for name, value in params.items()}


def _attached(value: Any, parts: Params) -> Any:
    """Put uploads in the place of ``attach://<part>``, also inside a field's JSON.

    Source: https://core.telegram.org/bots/api#sending-files
    """
    if isinstance(value, list):
        return [_attached(item, parts) for item in value]
    if isinstance(value, dict):
        return {name: _attached(item, parts) for name, item in value.items()}
    if not isinstance(value, str) or ATTACHED not in value:
        return value
    if value.startswith(ATTACHED):
        return parts.get(value.removeprefix(ATTACHED), value)
    try:
        # Only JSON can hold a file further inside; any other text that says so is a text.
        nested = decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value
    return _attached(nested, parts) if isinstance(nested, list | dict) else value


def _upload(size_bytes: int, digest: str) -> Upload:
    return Upload(f"sim-{uuid4().hex}", size_bytes, digest)


def _too_large() -> Refused:
    return Refused(413, "Request Entity Too Large")
