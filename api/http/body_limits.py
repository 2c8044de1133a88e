"""Limits how many bytes of a body are read, whatever its headers say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tempogram.api.core.errors import TooLarge, error_response
from tempogram.api.http.body_reader import BodyMemory, BodyReader


class BodyLimits:
    """Refuses a body that is declared, or turns out, to be too large, without buffering it.

    Args:
        bytes_max: For each path that is not in one of these:
        bytes_max_of: By path.
        bytes_max_of_forms: Of a form with files, by path; it is read as a stream.
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
        bounds_itself: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._bytes_max_of = bytes_max_of
        self._bytes_max_of_forms = bytes_max_of_forms
        self._memory = memory
        self._bounds_itself = bounds_itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._bounds_itself(scope["path"]):
            await self._app(scope, receive, send)
            return
        is_streamed = scope["path"] in self._bytes_max_of_forms and is_form(Headers(scope=scope))
        bytes_max = self._bytes_max_for(scope["path"], is_streamed=is_streamed)
        if declared_bytes(scope) > bytes_max:
            await error_response(TooLarge(bytes_max))(scope, receive, send)
            return
        reader = BodyReader(receive, bytes_max, None if is_streamed else self._memory)
        try:
            await self._app(scope, reader, send)
        finally:
            reader.close()

    def _bytes_max_for(self, path: str, *, is_streamed: bool) -> int:
        return self._bytes_max_of_forms[path] if is_streamed else self._bytes_max_of.get(path, self._bytes_max)


def is_form(headers: Headers) -> bool:
    """Tell whether a body is declared as a form that may have files."""
    return headers.get("content-type", "").lower().startswith("multipart/form-data")


def declared_bytes(scope: Scope) -> int:
    """Return the declared length; 0 if there is none, and then the bytes are counted."""
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() else 0
