"""A service over HTTP, on a port of its own, that answers what a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Answer:
    """One answer; a body of several pieces is sent one by one, each when the test lets it."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    is_slow: bool = False
    breaks_off: bool = False


@dataclass
class HttpService:
    """Answers what it was given, one after another, and then 200."""

    answers: list[Answer] = field(default_factory=list)
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def calls(self) -> int:
        return len(self.bodies)

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.is_asked.set()
        if request.headers.get("Upgrade") == "websocket":
            return await echo(request)
        answer = self.answers.pop(0) if self.answers else Answer()
        if not (answer.is_slow or answer.breaks_off):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(answer.body)
        await response.prepare(request)
        await response.write(answer.body[:1])
        await self.go_on.wait()
        if answer.breaks_off and request.transport is not None:
            request.transport.close()
            return response
        with contextlib.suppress(ConnectionError):  # the client is gone
            await response.write(answer.body[1:])
        return response


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


@asynccontextmanager
async def http_service(*answers: Answer) -> AsyncIterator[HttpService]:
    service = HttpService(list(answers))
    runner = web.ServerRunner(web.Server(service.take), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        service.go_on.set()
        await runner.cleanup()
