"""Serves the health and the metrics of a process that has no API: without FastAPI, which takes 10 MB."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tempogram.api.core.errors import Invalid
from tempogram.api.core.monitored import Monitored
from tempogram.api.core.redaction import short
from tempogram.api.http import error_handlers
from tempogram.api.http.access_log import AccessLog
from tempogram.api.http.unhandled_errors import UnhandledErrors
from tempogram.api.security.requests import unbound_principal_of
from tempogram.api.usecases import cron_health, monitoring

App = Starlette
"""What the server is given; FastAPI's is one, too."""


def create_monitoring_app(monitored: Monitored) -> Starlette:
    """Return an app that answers ``/health``, ``/health/cron`` and ``/metrics`` as the API does."""

    async def health(request: Request) -> Response:
        return await monitoring.health(monitored, request)

    async def cron(request: Request) -> Response:
        await unbound_principal_of(request, monitored)
        return JSONResponse(await cron_health.all_services(monitored))

    async def cron_of_one(request: Request) -> Response:
        await unbound_principal_of(request, monitored)
        return JSONResponse(await cron_health.one_service(monitored, request.path_params["service"]))

    async def metrics(request: Request) -> Response:
        await unbound_principal_of(request, monitored)
        format_ = request.query_params.get("format")
        if format_ not in {None, "text", "json"}:
            raise Invalid(f"format should be 'text' or 'json', not {short(format_)}")
        return await monitoring.metrics(monitored, format_, request.headers.get("accept", ""))

    app = Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/health/cron", cron, methods=["GET"]),
            Route("/health/cron/{service}", cron_of_one, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        middleware=[Middleware(AccessLog, clock=monitored.clock), Middleware(UnhandledErrors)],
    )
    app.router.redirect_slashes = False
    error_handlers.install(app)
    return app
