"""Has an app answer every error in the one format."""

from __future__ import annotations

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from tempogram.api.core.errors import ROUTING, TABLE, error_response, format_of, response
from tempogram.api.core.redaction import without_tokens

log = structlog.get_logger()


def install(app: Starlette) -> None:
    """Handle every error of the table, and those of routing."""
    for kind in TABLE:
        app.add_exception_handler(kind, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_error(_request: Request, error: Exception) -> JSONResponse:
    if format_of(error).message:  # the ledger or the broker is unavailable, which is logged as a condition
        log.debug("request_failed", error=type(error).__name__, reason=without_tokens(str(error)))
    return error_response(error)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException), "it is installed for this error only"  # noqa: S101
    code, message = ROUTING.get(error.status_code, ("refused", "the request was refused"))
    headers = dict(error.headers or {}) | (_allow(request) if error.status_code == 405 else {})
    return response(error.status_code, code, message, headers)


def _allow(request: Request) -> dict[str, str]:
    """Return every method of a path: each is a route of its own, and FastAPI names only the first."""
    path = getattr(request.scope.get("route"), "path", None)
    describe = getattr(request.app, "openapi", None)
    methods = {} if describe is None else describe()["paths"].get(path, {})
    return {"Allow": ", ".join(sorted(method.upper() for method in methods))} if methods else {}
