"""Limits how many bytes of a body are read, whatever its headers say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tempogram.api.core.errors import TooLarge, error_response
from tempogram.api.http.body_reader import BodyMemory, BodyReader

EMPTY: Mapping[re.Pattern[str], int] = {}


class BodyLimits:
    """Refuses a body that is declared, or turns out, to be too large, without buffering it.

    Args:
        bytes_max: For each path that is not in one of these:
        bytes_max_of: By path.
        bytes_max_of_forms: Of a form with files, by path; it is read as a stream.
        bytes_max_of_lists: Of a list, by a pattern of paths; it is read as a stream, too.
        memory: Of all other bodies.
        bounds_itself: Tells of which paths the endpoint counts the bytes itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        bytes_max: int,
        bytes_max_of: Mapping[str, int],
        bytes_max_of_forms: Mapping[str, int],
        memory: BodyMemory,
        bytes_max_of_lists: Mapping[re.Pattern[str], int] = EMPTY,
        bounds_itself: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._bytes_max_of = bytes_max_of
        self._bytes_max_of_forms = bytes_max_of_forms
        self._bytes_max_of_lists = bytes_max_of_lists
        self._memory = memory
        self._bounds_itself = bounds_itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._bounds_itself(scope["path"]):
            await self._app(scope, receive, send)
            return
        streamed_max = self._streamed_max(scope)
        is_streamed = streamed_max is not None
        path = scope["path"]
        bytes_max = self._bytes_max_of.get(path, self._bytes_max) if streamed_max is None else streamed_max
        if declared_bytes(scope) > bytes_max:
            await error_response(TooLarge(bytes_max))(scope, receive, send)
            return
        reader = BodyReader(receive, bytes_max, None if is_streamed else self._memory)
        try:
            await self._app(scope, reader, send)
        finally:
            reader.close()

    def _streamed_max(self, scope: Scope) -> int | None:
        """Return the bound of a body that is read as a stream; None: it is not."""
        if scope["path"] in self._bytes_max_of_forms and is_form(Headers(scope=scope)):
            return self._bytes_max_of_forms[scope["path"]]
        fitting = (most for path, most in self._bytes_max_of_lists.items() if path.fullmatch(scope["path"]))
        return next(fitting, None) if scope["method"] == "POST" else None


def is_form(headers: Headers) -> bool:
    """Tell whether a body is declared as a form that may have files."""
    return headers.get("content-type", "").lower().startswith("multipart/form-data")


def declared_bytes(scope: Scope) -> int:
    """Return the declared length; 0 if there is none, and then the bytes are counted."""
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() else 0
