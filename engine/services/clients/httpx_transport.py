"""A transport for httpx, and httpx2: every request of a client that has it is a call of a service.

    client = httpx.AsyncClient(transport=ServiceTransport(services, "quickbase", "queries"))

A call keeps its places until its response is closed, which httpx does when its body was read. Neither library need be
installed for anything else, and which of the two a client is of is seen from its requests.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from tempogram.engine.services.clients.http_requests import (
    KEPT_BYTES_MAX,
    READ_FROM,
    SWITCHING,
    Choose,
    ReadAnswer,
    also,
    operation_of,
    options_of,
)
from tempogram.engine.services.errors import CallOverdue, PlaceLost, ServiceError, UnknownService
from tempogram.engine.services.open_answer import OpenAnswer
from tempogram.engine.services.services import PLAIN, CallOptions, ServiceCalls

if TYPE_CHECKING:
    import httpx

    Base = httpx.AsyncBaseTransport
    Stream = httpx.AsyncByteStream
else:
    Base = Stream = object

Options = CallOptions | Callable[[Any], CallOptions]


class ServiceTransport(Base):
    """Makes each request when its service's limits let it; a retry sends the same request again.

    A body that is read only once is not sent a second time. Of an idempotent method, every request may be.

    Args:
        operation: Its name, or what tells it from the request; see ``Choose``.
        options: Of each call, or what tells them from the request. ``used`` gets a ``ReadAnswer``, when the body was
            read; ``classify`` gets one, or an error.
        transport: What makes the request; without it the library's own, without a limit of connections: the services
            have theirs.
    """

    def __init__(
        self,
        services: ServiceCalls,
        service: str,
        operation: Choose[Any],
        *,
        options: Options = PLAIN,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._services = services
        self._service = service
        self._operation = operation
        self._options = options
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        library = _library(request)
        operation = operation_of(self._operation, request, request.url.host + request.url.path)
        given = self._options if isinstance(self._options, CallOptions) else self._options(request)
        body = _Sent(request, library)
        answer_of = functools.partial(_answer, library)
        options = options_of(given, method=request.method, may_repeat=body.may_repeat, answer_of=answer_of)
        options = replace(options, keeps=_kept)
        send = functools.partial(self._send, request, library, keeps_body=given.used is not None)
        try:
            return await self._services.call_with(options, self._service, operation, send)
        except UnknownService:
            raise
        except (ServiceError, TimeoutError) as error:
            overdue = f"{self._service}:{operation} had no answer in time"
            raise also(error, _kind(error, library), otherwise=overdue) from error

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _send(self, request: httpx.Request, library: Any, *, keeps_body: bool) -> httpx.Response:
        if self._transport is None:
            self._transport = library.AsyncHTTPTransport(limits=library.Limits(max_keepalive_connections=20))
        response = await self._transport.handle_async_request(request)
        if response.is_closed:  # a transport below has read it
            return response
        if response.status_code >= READ_FROM:
            body: Any = response.stream
            try:
                raw = b"".join([piece async for piece in body])
            finally:
                await body.aclose()
            response.stream = library.ByteStream(raw)
        elif response.status_code != SWITCHING and not isinstance(response.stream, library.ByteStream):
            response.stream = _body_class(library)(response, library, keeps_body=keeps_body)
        return response


class _Sent:
    """Knows whether a request's body is still there to be sent again."""

    def __init__(self, request: httpx.Request, library: Any) -> None:
        self._is_begun = False
        if not isinstance(request.stream, library.ByteStream):
            request.stream = _once_class(library)(request.stream, self._begin)

    def may_repeat(self) -> bool:
        return not self._is_begun

    def _begin(self) -> None:
        self._is_begun = True


class _Once(Stream):
    """A body that is read only once."""

    def __init__(self, stream: httpx.AsyncByteStream, begin: Callable[[], None]) -> None:
        self._stream = stream
        self._begin = begin

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._begin()
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Body(Stream):
    """The body of a response; the places of its call are kept until it is closed."""

    def __init__(self, response: httpx.Response, library: Any, *, keeps_body: bool) -> None:
        self.answer = OpenAnswer(self._cut)
        self._response = response
        self._stream: Any = response.stream
        self._library = library
        self._kept: list[bytes] | None = [] if keeps_body else None
        self._size = 0
        self._scope: asyncio.Timeout | None = None
        self._error: Exception | None = None
        self._closing: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._stream)
        while (piece := await self._next(pieces)) is not None:
            self._keep(piece)
            yield piece

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self.answer.end(read=self._read())

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        self._raise_if_cut()
        try:
            async with asyncio.timeout(None) as self._scope:
                return await anext(pieces, None)
        except Exception as error:
            self._raise_if_cut()
            self.answer.end(is_failure=isinstance(error, self._library.TransportError))
            raise
        finally:
            self._scope = None

    def _cut(self, error: Exception) -> None:
        if self.answer.is_over:
            return
        self._error = also(error, _kind(error, self._library))
        self.answer.end(read=self._read())
        now_s = asyncio.get_running_loop().time()
        if self._scope is not None:
            self._scope.reschedule(now_s)
        else:
            self._closing = asyncio.create_task(self._stream.aclose())

    def _raise_if_cut(self) -> None:
        if self._error is not None:
            raise self._error

    def _keep(self, piece: bytes) -> None:
        if self._kept is None:
            return
        self._size += len(piece)
        self._kept.append(piece)
        if self._size > KEPT_BYTES_MAX:
            self._kept = None

    def _read(self) -> ReadAnswer | None:
        """Return what of the body was read, decoded."""
        return _decoded(self._response, b"".join(self._kept), self._library) if self._kept else None


def _kept(response: httpx.Response) -> OpenAnswer | None:
    return response.stream.answer if isinstance(response.stream, _Body) else None


def _answer(library: Any, response: httpx.Response) -> ReadAnswer | None:
    if response.is_closed:
        return ReadAnswer(response.status_code, response.headers, _content(response, library))
    raw = b"".join(response.stream) if isinstance(response.stream, library.ByteStream) else b""
    return _decoded(response, raw, library)


def _content(response: httpx.Response, library: Any) -> bytes:
    try:
        return response.content
    except library.ResponseNotRead:
        return b""


def _decoded(response: httpx.Response, raw: bytes, library: Any) -> ReadAnswer | None:
    """Return what came over the wire, decoded; None: it cannot be."""
    try:
        body = library.Response(200, headers=response.headers, content=raw).content
    except library.DecodingError:
        return None
    return ReadAnswer(response.status_code, response.headers, body)


def _kind(error: Exception, library: Any) -> type[Exception]:
    """Return which error of the library stands for one of ours; ``ConnectError`` says that nothing was sent."""
    if isinstance(error, CallOverdue | TimeoutError):
        kind = library.TimeoutException
    else:
        kind = library.ReadError if isinstance(error, PlaceLost) else library.ConnectError
    return kind  # type: ignore[no-any-return]


def _library(request: httpx.Request) -> Any:
    """Return httpx, or httpx2: the one of which a request is."""
    return sys.modules[type(request).__module__.partition(".")[0]]


@functools.cache
def _body_class(library: Any) -> Any:
    return type("_Body", (_Body, library.AsyncByteStream), {})


@functools.cache
def _once_class(library: Any) -> Any:
    return type("_Once", (_Once, library.AsyncByteStream), {})
