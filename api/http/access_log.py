"""One log line per request, at DEBUG, with its route and not its path, because a path may contain a token."""

from __future__ import annotations

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tempogram.engine.ports import Clock

log = structlog.get_logger()


class AccessLog:
    """Logs the route's template, the method, the status and the duration.

    Status 0: the client disconnected before it was answered.
    """

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_and_note(event: Message) -> None:
            nonlocal status
            status = event.get("status", status)
            await send(event)

        started_at_ms = self._clock()
        await self._app(scope, receive, send_and_note)
        log.debug(
            "request",
            route=getattr(scope.get("route"), "path", "none"),
            method=scope["method"],
            status=status,
            ms=self._clock() - started_at_ms,
        )
