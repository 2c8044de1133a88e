"""Puts the HTTP side together; importing it creates no app."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import Invalid, Malformed, error_response
from tempogram.api.core.validation_messages import sentence_of
from tempogram.api.http import error_handlers
from tempogram.api.http.access_log import AccessLog
from tempogram.api.http.body_limits import BodyLimits
from tempogram.api.http.body_reader import BodyMemory
from tempogram.api.http.security_headers import SecurityHeaders
from tempogram.api.http.unhandled_errors import UnhandledErrors
from tempogram.api.pages import routes as pages
from tempogram.api.routes import (
    alerts,
    bots,
    broadcasts,
    chat_data,
    chats,
    cron_health,
    health,
    history,
    limits,
    messages,
    metrics,
    queue,
    reengagement,
    selections,
    services,
    tasks,
    watches,
)
from tempogram.api.routes.access import audit, keys, sessions, tokens, users
from tempogram.api.routes.bot_api import bot_api, is_of_a_bot
from tempogram.api.routes.webhook import webhook
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.principals import Role
from tempogram.api.usecases.submissions import Submissions

ROUTERS = (
    messages.forms,
    messages.batches,
    messages.router,
    history.router,
    queue.router,
    bots.router,
    chats.imports,
    chats.router,
    chat_data.router,
    reengagement.router,
    limits.router,
    services.router,
    alerts.router,
    audit.router,
    keys.router,
    broadcasts.router,
    broadcasts.forms,
    tasks.router,
    selections.router,
    watches.router,
    users.router,
    tokens.router,
    sessions.open_router,
    sessions.router,
    metrics.router,
    health.router,
    cron_health.router,
    pages.router,
)

LARGE = (messages.BATCH_PATH, selections.PREVIEW, selections.CHATS)
"""Paths that take a list of many."""


SMALL = (sessions.PATH, sessions.PASSWORD_PATH, pages.LOG_IN, pages.LOG_OUT)
"""Paths that anyone may ask."""

FORMS = (messages.PATH, broadcasts.PATH)
"""Paths that take files."""


def create_app(dependencies: Dependencies) -> FastAPI:
    """Return an app over its dependencies; it has no global state."""
    submissions, memory = Submissions(dependencies), BodyMemory()
    app = FastAPI(
        title="Tempogram",
        description="Runs many Telegram bots from one place, and never sends faster than Telegram allows.",
        routes=_hot_routes(dependencies, submissions, memory),
        middleware=_middleware(dependencies, memory),
        # Spans would contain the webhook's path, and that contains a token.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        redirect_slashes=False,  # a redirect would contain it, too
        openapi_url=None,  # served below, behind the bearer token
        docs_url=None,
        redoc_url=None,
    )
    app.state.dependencies = dependencies
    app.state.submissions = submissions
    error_handlers.install(app)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    for router in (*ROUTERS, openapi):
        app.router.routes.extend(router.routes)  # to include a router builds its routes anew, at the first request
    return app


def _hot_routes(dependencies: Dependencies, submissions: Submissions, memory: BodyMemory) -> list[BaseRoute]:
    """Return those that are not FastAPI's: where updates arrive, and the Bot API if it is served here."""
    door = dependencies.door
    return [webhook(dependencies), *(bot_api(dependencies, door, submissions, memory) if door is not None else ())]


def _middleware(dependencies: Dependencies, memory: BodyMemory) -> list[Middleware]:
    """Return them from the outermost to the innermost."""
    return [
        Middleware(AccessLog, clock=dependencies.clock),
        Middleware(SecurityHeaders),
        Middleware(UnhandledErrors),
        Middleware(
            BodyLimits,
            bytes_max=dependencies.body_bytes_max,
            bytes_max_of={
                **dict.fromkeys(LARGE, dependencies.batch_bytes_max),
                **dict.fromkeys(SMALL, sessions.BODY_BYTES_MAX),
            },
            bytes_max_of_forms=dict.fromkeys(FORMS, dependencies.form_bytes_max),
            bytes_max_of_lists={chats.IMPORT_PATH: dependencies.batch_bytes_max},
            memory=memory,
            bounds_itself=is_of_a_bot if dependencies.door is not None else lambda _: False,
        ),
    ]


TRUNCATED = "it ends too early, or a string has half of a surrogate pair"
"""msgspec says "truncated" of both."""


async def _on_validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "it is installed for this error only"  # noqa: S101
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        said = first["ctx"]["error"]
        return error_response(Malformed(f"the body is not JSON: {TRUNCATED if 'truncated' in said else said}"))
    return error_response(Invalid(sentence_of(first)))


openapi = APIRouter(route_class=GuardedRoute)


@openapi.get("/openapi.json", dependencies=[requires(Role.VIEWER, is_bounded=True)], include_in_schema=False)
async def description(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())
