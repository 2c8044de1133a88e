"""How the HTTP side is put together. There is no app before somebody creates one."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware import Middleware

from tempogram.api.core import errors
from tempogram.api.core.dependencies import Services
from tempogram.api.http.access_log import AccessLog
from tempogram.api.http.body_limits import BodyLimits
from tempogram.api.http.unhandled_errors import UnhandledErrors
from tempogram.api.routes import bots, health, limits, messages, metrics, queue
from tempogram.api.routes.webhook import webhook
from tempogram.api.security.auth import GuardedRoute, Role, requires
from tempogram.api.usecases.submissions import Submissions

App = FastAPI

ROUTERS = (messages.forms, messages.router, queue.router, bots.router, limits.router)
NUMBERS = (metrics.router, health.router)


def create_app(services: Services, *, takes_in: bool = True) -> FastAPI:
    """Return an app that works with these services, and keeps nothing outside of itself.

    Args:
        services: See there.
        takes_in: Without it the app tells only how the process is and what it counted.
    """
    app = FastAPI(
        title="Tempogram",
        description="Runs many Telegram bots from one place, and never sends faster than Telegram allows.",
        routes=[webhook(services)] if takes_in else [],
        middleware=_middleware(services),
        # Its spans would hold the webhook's address, and that holds a token.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        redirect_slashes=False,  # likewise a redirect
        openapi_url=None,  # under the bearer token, below
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.state.submissions = Submissions(services)
    errors.install(app)
    for router in (*(ROUTERS if takes_in else ()), *NUMBERS, openapi):
        app.include_router(router)
    return app


def _middleware(services: Services) -> list[Middleware]:
    """From the outside in."""
    return [
        Middleware(AccessLog, clock=services.clock),
        Middleware(UnhandledErrors),
        Middleware(
            BodyLimits,
            bytes_max=services.body_bytes_max,
            bytes_max_of={messages.BATCH_PATH: services.batch_bytes_max},
            bytes_max_of_forms={messages.PATH: services.form_bytes_max},
        ),
    ]


openapi = APIRouter(route_class=GuardedRoute)


@openapi.get("/openapi.json", dependencies=[requires(Role.VIEWER)], include_in_schema=False)
async def description(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())
