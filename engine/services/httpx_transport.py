"""A transport for httpx: every request of a client that has it is a call of a service.

    client = httpx.AsyncClient(transport=ServiceTransport(services, "quickbase", "queries"))

httpx need not be installed for anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx

from tempogram.engine.services.services import PLAIN, CallOptions, Services

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Source: https://www.rfc-editor.org/rfc/rfc9110#name-idempotent-methods"""


class ServiceTransport(httpx.AsyncBaseTransport):
    """Makes each request when its service's limits let it; a retry sends the same request again.

    A body that is read only once is not sent a second time. Of an idempotent method, every request may be.

    Args:
        operation: Its name, or what tells it from the request.
        transport: What makes the request; httpx's own without it.
    """

    def __init__(
        self,
        services: Services,
        service: str,
        operation: str | Callable[[httpx.Request], str],
        *,
        options: CallOptions = PLAIN,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._services = services
        self._service = service
        self._operation = operation
        self._options = options
        self._transport = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        operation = self._operation if isinstance(self._operation, str) else self._operation(request)
        options = self._options
        if options.is_idempotent is None and request.method in IDEMPOTENT:
            options = replace(options, is_idempotent=True)
        if not isinstance(request.stream, httpx.ByteStream):
            options = replace(options, retries=0)
        return await self._services.call_with(
            options, self._service, operation, self._transport.handle_async_request, request
        )

    async def aclose(self) -> None:
        await self._transport.aclose()
