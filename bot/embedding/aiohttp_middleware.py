"""A middleware for aiohttp: every request of a session that has it is a call of a service.

    session = aiohttp.ClientSession(middlewares=[service_middleware(services, "twilio", {"*/Messages.json": "sms"})])

A call keeps its places until its answer's last byte is there, or its response is closed.

Source: https://docs.aiohttp.org/en/stable/client_middleware_cookbook.html
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import replace

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from aiohttp.payload import Payload

from tempogram.engine.services.clients.http_requests import (
    READ_FROM,
    SWITCHING,
    Choose,
    ReadAnswer,
    also,
    operation_of,
    options_of,
)
from tempogram.engine.services.errors import CallOverdue, ServiceError, UnknownService
from tempogram.engine.services.open_answer import OpenAnswer
from tempogram.engine.services.services import PLAIN, CallOptions, ServiceCalls

EVENTS = "text/event-stream"
"""An answer of which there is more to come; it is not read before its client does."""

BUFFER_BYTES = 1 << 16


def service_middleware(
    services: ServiceCalls,
    service: str,
    operation: Choose[aiohttp.ClientRequest],
    *,
    options: CallOptions | Callable[[aiohttp.ClientRequest], CallOptions] = PLAIN,
) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that makes each request when its service's limits let it.

    Args:
        services: ``tempogram.services``, or others.
        service: Its name.
        operation: Its name, or what tells it from the request; see ``Choose``.
        options: Of each call, or what tells them from the request. ``used`` gets a ``ReadAnswer`` (for which an answer
            is read before the client gets it, if it is no stream of events); ``classify`` gets one, or an error.
    """

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        name = operation_of(operation, request, f"{request.url.host}{request.url.path}")
        given = options if isinstance(options, CallOptions) else options(request)
        made = _Exchange(request, handler, reads_all=given.used is not None)
        ours = options_of(given, method=request.method, may_repeat=made.may_repeat, answer_of=_answer)
        try:
            return await services.call_with(replace(ours, keeps=made.keeps), service, name, made.send)
        except (UnknownService, aiohttp.ClientError):
            raise
        except (ServiceError, TimeoutError) as error:
            raise also(error, _kind(error), otherwise=f"{service}:{name} had no answer in time") from error

    return middleware


class _Exchange:
    """One request, and its answer."""

    def __init__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, *, reads_all: bool) -> None:
        self._request = request
        self._handler = handler
        self._reads_all = reads_all
        self._open: OpenAnswer | None = None

    async def send(self) -> aiohttp.ClientResponse:
        response = await self._handler(self._request)
        try:
            if response.status >= READ_FROM or (self._reads_all and response.content_type != EVENTS):
                response.content = _Refilled(await response.content.read())
        except BaseException:
            response.close()
            raise
        self._open = _open(response)
        return response

    def may_repeat(self) -> bool:
        return not isinstance(self._request.body, Payload) or not self._request.body.consumed

    def keeps(self, _response: aiohttp.ClientResponse) -> OpenAnswer | None:
        return self._open


class _Refilled(aiohttp.StreamReader):
    """A body that was read, to be read again."""

    def __init__(self, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(BaseProtocol(loop), BUFFER_BYTES, loop=loop)
        self.body = body
        self.feed_data(body)
        self.feed_eof()


def _open(response: aiohttp.ClientResponse) -> OpenAnswer | None:
    connection = response.connection
    if connection is None or response.status == SWITCHING:  # None: all of it is there
        return None
    answer = OpenAnswer(functools.partial(_cut, response))
    connection.add_callback(lambda: answer.end(is_failure=_is_broken(response)))
    return answer


def _cut(response: aiohttp.ClientResponse, error: Exception) -> None:
    response.content.set_exception(also(error, _kind(error)))
    response.close()


def _is_broken(response: aiohttp.ClientResponse) -> bool:
    """Tell whether an answer broke off; one that its client closes has an error, too, of exactly this type."""
    body = response.content
    error = body.exception()
    is_ours = isinstance(error, ServiceError) or type(error) is aiohttp.ClientConnectionError
    return error is not None and not is_ours


def _answer(response: aiohttp.ClientResponse) -> ReadAnswer:
    body = response.content.body if isinstance(response.content, _Refilled) else b""
    return ReadAnswer(response.status, response.headers, body)


def _kind(error: Exception) -> type[Exception]:
    """Return which error of aiohttp stands for one of ours."""
    is_late = isinstance(error, CallOverdue | TimeoutError)
    return aiohttp.ServerTimeoutError if is_late else aiohttp.ClientConnectionError
