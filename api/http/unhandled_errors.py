"""What nobody foresaw: written down in full, told in one sentence."""

from __future__ import annotations

import secrets
import traceback

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tempogram.api.core.errors import answer
from tempogram.api.core.redaction import without_tokens

log = structlog.get_logger()


class UnhandledErrors:
    """Answers with a 500 and a reference under which the log has the rest.

    It stands below Starlette's own, which would raise the error again for the server to
    log, and its text may hold the address of a call to Telegram, and that a token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_answered = False

        async def watched(event: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(event)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return  # nobody is there to be told
        except Exception as error:  # noqa: BLE001 - the last one who can answer
            reference = written_down(error)
            if not is_answered:
                await answer(UnhandledError(reference))(scope, receive, send)


class UnhandledError(Exception):
    """What the client is told of it."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"internal error {reference}; the log has more under this reference")


def written_down(error: Exception) -> str:
    """Log an error with its traceback, and return the reference."""
    reference = secrets.token_hex(4)
    lines = "".join(traceback.format_exception(error))
    log.error("internal error", reference=reference, error=type(error).__name__, traceback=without_tokens(lines))
    return reference
