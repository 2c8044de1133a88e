"""One line for each request: which route, never which address, because one of them holds a token."""

from __future__ import annotations

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tempogram.engine.ports import Clock

log = structlog.get_logger()


class AccessLog:
    """Logs the route's template, the method, the status and how long it took.

    Status 0: no answer was given, the client had gone.
    """

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def watched(event: Message) -> None:
            nonlocal status
            status = event.get("status", status)
            await send(event)

        started_at_ms = self._clock()
        await self._app(scope, receive, watched)
        log.info(
            "request",
            route=getattr(scope.get("route"), "path", "none"),
            method=scope["method"],
            status=status,
            ms=self._clock() - started_at_ms,
        )
