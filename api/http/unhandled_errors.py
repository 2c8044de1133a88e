"""Unhandled errors: logged with their traceback, answered with a reference to it."""

from __future__ import annotations

import asyncio
import secrets
import traceback

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tempogram.api.core.errors import Ending, error_response
from tempogram.api.core.redaction import without_tokens

log = structlog.get_logger()


class UnhandledErrors:
    """Answers 500 with a reference under which the log has the error.

    It runs inside Starlette's own handler, which would raise the error again for the server to log;
    the text of an error may contain the URL of a call to Telegram, and that contains a token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_answered = False

        async def send_and_note(event: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(event)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            return  # there is no client to answer
        except asyncio.CancelledError:  # the server ends, and this was the whole task
            if not is_answered:
                await error_response(Ending())(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the outermost handler
            reference = log_unhandled(error)
            if not is_answered:
                await error_response(UnhandledError(reference))(scope, receive, send)


class UnhandledError(Exception):
    """What the client gets to see of an unhandled error."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"internal error {reference}; see the log under this reference")


def log_unhandled(error: Exception) -> str:
    """Log an error with its traceback, and return the reference."""
    reference = secrets.token_hex(4)
    lines = "".join(traceback.format_exception(error))
    log.error("unhandled_error", reference=reference, error=type(error).__name__, traceback=without_tokens(lines))
    return reference
