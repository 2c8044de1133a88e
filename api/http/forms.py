"""A message or a broadcast as a form with files, as ``curl -F photo=@cat.jpg`` sends it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from email.message import Message
from typing import Annotated, Any, ClassVar

import msgspec
from fastapi import Depends, Request

from tempogram.api.core.dependencies import FILES_MAX, Dependencies
from tempogram.api.core.errors import Invalid, Malformed, TooLarge
from tempogram.api.core.json_depth import TOO_DEEP, is_too_deep
from tempogram.api.core.redaction import short
from tempogram.api.http.body_limits import is_form
from tempogram.api.http.multipart import Multipart, Part, malformed
from tempogram.api.schemas.base import RequestModel
from tempogram.api.schemas.broadcasts import BroadcastIn
from tempogram.api.schemas.messages import MessageIn
from tempogram.api.security.auth import GuardedRoute, StrictRequest
from tempogram.storage.files.spool import Spooled

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""The name of a field or a file: a parameter, or what follows ``attach://``."""

PARTS_MAX = 100
"""No method has as many parameters."""

NUMBER = re.compile(r"[0-9]{1,10}(\.[0-9]{1,3})?")

NO_BOUNDARY = "the Content-Type of the form has no boundary"

_TEXT = {"type": "string"}

AS_JSON = frozenset({"selection", "quiet_hours", "spread_h", "daily_cap", "not_if_written_today"})
"""Fields of ours that are no text: in a form they are written as JSON."""


def form_schema(model: type[RequestModel], example: Mapping[str, str]) -> dict[str, Any]:
    """Describe a form that has the fields of a JSON body, and files."""
    texts = {
        name: {"type": "string", "description": "JSON."} if name in AS_JSON else _TEXT for name in model.model_fields
    }
    return {
        "type": "object",
        "required": ["bot"],
        "properties": {**texts, "params": {"type": "string", "description": "A JSON object."}},
        "additionalProperties": {"anyOf": [_TEXT, {"type": "string", "format": "binary"}]},
        "description": "The fields of the JSON body; each further field is a parameter, and each file is the parameter "
        "of its name or what attach://<name> refers to in another one.",
        "examples": [{"bot": "123456", **example, "method": "sendPhoto", "photo": "<bytes>", "caption": "A cat."}],
    }


def form_body(model: type[RequestModel], example: Mapping[str, str]) -> dict[str, Any]:
    """Return what the description of an endpoint has besides if it takes forms, too."""
    return {"requestBody": {"content": {"multipart/form-data": {"schema": form_schema(model, example)}}}}


class FormRoute(GuardedRoute):
    """Reads a form as a stream, files into the spool, and passes it on as the equivalent JSON."""

    model: ClassVar[type[RequestModel]] = MessageIn
    """Whose fields are ours; each further field is a parameter."""

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Read the body; files are deleted when the request ends."""
        request.state.files = {}
        if not is_form(request.headers):
            async with super().read(request) as strict:
                yield strict
            return
        async with AsyncExitStack() as stack:
            form = Form(request.app.state.dependencies, stack, self.model)
            await form.read(request)
            request.state.files = form.files
            yield as_json(request, form.body())


class BroadcastFormRoute(FormRoute):
    """Reads the form of a broadcast."""

    model = BroadcastIn


async def files_of(request: Request) -> Mapping[str, Spooled]:
    files: Mapping[str, Spooled] = request.state.files
    return files


FilesOf = Annotated[Mapping[str, Spooled], Depends(files_of)]


class Form:
    """A form's fields and files; the files are deleted when ``stack`` closes."""

    def __init__(self, dependencies: Dependencies, stack: AsyncExitStack, model: type[RequestModel]) -> None:
        self.files: dict[str, Spooled] = {}
        self.fields: dict[str, str] = {}
        self._dependencies = dependencies
        self._model = model
        self._stack = stack
        self._bytes_left = dependencies.body_bytes_max

    async def read(self, request: Request) -> None:
        """Read the whole form.

        Raises:
            Malformed: It is not a form.
            Invalid: It has too many parts, or two of one name.
            TooLarge: Its fields have more bytes than a JSON body may have.
            FileTooLarge: A file is larger than Telegram takes.
        """
        form = Multipart(request.stream(), _boundary(request.headers["content-type"]))
        async for part in form.parts():
            self._check(part)
            if part.file_name is None:
                self.fields[part.name] = await self._text(part)
            else:
                file = await self._dependencies.spool.take(part.file_name or part.name, part.chunks)
                self.files[part.name] = self._stack.enter_context(file)

    def body(self) -> dict[str, Any]:
        """Return the body as it would be in JSON.

        Raises:
            Invalid: ``params`` is not a JSON object.
        """
        own = {name: value for name, value in self.fields.items() if self._is_own(name)}
        params = {name: value for name, value in self.fields.items() if name not in own}
        message: dict[str, Any] = own | {"params": _object(own.get("params", "{}")) | params}
        if NUMBER.fullmatch(own.get("send_at", "")):
            message["send_at"] = float(own["send_at"])
        return message | {name: _decoded(text) for name, text in own.items() if name in AS_JSON}

    def _is_own(self, name: str) -> bool:
        """Tell whether a field is ours, not of the method; ``text`` may be either."""
        return name in self._model.model_fields and (name != "text" or "method" not in self.fields)

    def _check(self, part: Part) -> None:
        if not NAME.fullmatch(part.name):
            raise Invalid(
                f"a form's field should have a name of letters, digits, '_', '-' and '.', not {short(part.name)}"
            )
        if part.name in self.fields or part.name in self.files:
            raise Invalid(f"the form has two fields named {part.name}")
        if len(self.fields) >= PARTS_MAX:
            raise Invalid(f"a form may have at most {PARTS_MAX} fields")
        if part.file_name is not None and len(self.files) >= 2 * FILES_MAX:  # each with a thumbnail
            raise Invalid(f"a form may have at most {2 * FILES_MAX} files")

    async def _text(self, part: Part) -> str:
        text = bytearray()
        async for chunk in part.chunks:
            text += chunk
            self._bytes_left -= len(chunk)
            if self._bytes_left < 0:
                raise TooLarge(self._dependencies.body_bytes_max)
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise Invalid(f"{part.name} should be text in UTF-8; a file needs a file name") from None


def as_json(request: Request, message: Mapping[str, Any]) -> Request:
    """Return the request as JSON, with its body already read."""
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
    scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
    strict = StrictRequest(scope, request.receive)
    strict._body = msgspec.json.encode(message)  # noqa: SLF001 - where starlette keeps a body that was read
    return strict


def _boundary(content_type: str) -> str:
    header = Message()
    header["content-type"] = content_type
    with malformed(NO_BOUNDARY):
        if boundary := header.get_boundary():
            return boundary
    raise Malformed(NO_BOUNDARY)


def _decoded(text: str) -> Any:
    try:
        decoded = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text  # the model says what it should be
    return text if is_too_deep(decoded) else decoded


def _object(text: str) -> dict[str, Any]:
    try:
        params = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        params = None
    if not isinstance(params, dict):
        raise Invalid(f"params should be a JSON object, not {short(text)}")
    if is_too_deep(params):
        raise Invalid(f"params is too deep: {TOO_DEEP}")
    return params
