"""The strict service over HTTP. What it counts and how it answers is switched at ``/-/`` while it serves.

GET   /-/report  everything that was counted
GET   /-/calls   the newest calls, with their bodies
POST  /-/rules   {"rules": …, "manner": …}: begin anew, with other limits
PATCH /-/manner  change how calls are answered; what was counted stays
POST  /-/next    {"status": 500, "times": 2}: answer the next calls so
POST  /-/reset   count anew
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tempogram.simulator.services.service import Answer, Call, service_of

PREFIX = "/-/"

SILENT = logging.getLogger(__name__)
SILENT.disabled = True


class Server:
    """Answers all connections; what it counts may begin anew."""

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self.service = service_of(rules)

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve until the block ends; yields the address. A call is over when its client has gone, too."""
        # A call that is cut off in the middle is no failure of the server, though aiohttp logs it as one.
        server = web.Server(self._answer, handler_cancellation=True, logger=SILENT, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=1_000).start()
            yield f"http://{host}:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        path = request.raw_path
        if path.startswith(PREFIX):
            answer = self._control(request.method, path.removeprefix(PREFIX), body)
        else:
            headers = {name.lower(): value for name, value in request.headers.items()}
            answer = await self.service.answer(Call(request.method, path, headers, body))
        headers = {"Content-Type": "application/json", **answer.headers}
        return web.Response(status=answer.status, headers=headers, body=answer.body)

    def _control(self, method: str, path: str, body: bytes) -> Answer:
        try:
            return Answer(200, {}, json.dumps(self._do(method, path, body)).encode())
        except (ValueError, KeyError, TypeError) as error:
            return Answer(400, {}, json.dumps({"error": str(error)}).encode())

    def _do(self, method: str, path: str, body: bytes) -> object:
        match method, path:
            case "GET", "report":
                return self.service.report()
            case "GET", "calls":
                return list(self.service.kept)
            case "POST", "rules":
                self.service = service_of(json.loads(body))
            case "PATCH", "manner":
                self.service.change(json.loads(body))
            case "POST", "next":
                self.service.order(**json.loads(body))
            case "POST", "reset":
                self.service.forget()
            case _:
                raise ValueError(f"there is no {method} {PREFIX}{path}")
        return {}
