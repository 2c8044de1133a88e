"""The simulator behind HTTP: one handler for every path, no router, no access log."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from tempogram.simulator.methods.calls import Params, Refused, bad_request
from tempogram.simulator.methods.methods import Method
from tempogram.simulator.server import control, wire
from tempogram.simulator.server.simulation import Simulation
from tempogram.simulator.server.telegram import Lost, end_polls
from tempogram.simulator.world.world import Bot

BACKLOG = 4_096  # connections that wait to be accepted when many clients start at once
KEEPALIVE_S = 75
SHUTDOWN_S = 1.0
GIVEN_UP_CHECK_S = 0.05
NO_LINGER = struct.pack("ii", 1, 0)  # closing then resets the connection


@dataclass(frozen=True, slots=True)
class Served:
    """A simulator that answers; ``url`` is the Bot API's base, as for a local Bot API server."""

    url: str
    simulator: "Simulator"


@dataclass(slots=True)
class Simulator(Simulation):
    """A Telegram to send to, on a port of this process."""

    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def serve(self, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Served]:
        """Answer on a port, 0 for a free one, until the block ends."""
        self._closing.clear()
        server = web.Server(self._answer, request_factory=self._request, access_log=None, keepalive_timeout=KEEPALIVE_S)
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
            await self.delivery.open()
            actual_port = runner.addresses[0][1]
            name = f"[{host}]" if ":" in host else host
            yield Served(f"http://{name}:{actual_port}", self)
        finally:
            self._closing.set()
            end_polls([bot.mailbox for bot in self.telegram.world.bots.values()])
            await self.scripted_users.stop()
            await self.delivery.close()
            await runner.cleanup()

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: "object",
        task: asyncio.Task[None],
    ) -> BaseRequest:
        return BaseRequest(
            message,
            payload,
            protocol,
            writer,  # type: ignore[arg-type]
            task,
            asyncio.get_running_loop(),
            client_max_size=self.settings.body_limit_bytes,
        )

    async def _answer(self, request: BaseRequest) -> web.StreamResponse:
        path, query = wire.split_path(request.raw_path)
        if path.startswith(control.PREFIX):
            return await control.answer(self, request, path, query)
        try:
            return await self._answer_call(request, path, query)
        except Refused as refused:
            return wire.refusal(refused)
        except RecursionError:
            return wire.refusal(bad_request("can't parse JSON object: it is too deep"))
        except Lost as lost:
            return await self._withhold(request, lost)
        except ConnectionError:
            return web.Response(status=400)  # the client has gone in the middle of its call; nothing arrived

    async def _answer_call(self, request: BaseRequest, path: str, query: str) -> web.StreamResponse:
        address = self._addresses.get(path)
        if address is None:
            if path.startswith("/file/bot"):
                return web.Response(body=path.rpartition("/")[2].encode())
            address = self.address(path)
        bot, method = address
        params = await self._params(request, query, bot, method)
        call = self.telegram.arrive(bot, method, params)
        return wire.answer(await self.telegram.answer(call, method))

    async def _params(self, request: BaseRequest, query: str, bot: Bot, method: Method) -> Params:
        try:
            return await wire.read_params(request, query, body_limit_bytes=self.settings.body_limit_bytes)
        except Refused as refused:
            self.telegram.refuse_unread(refused, bot, method)
            raise

    async def _withhold(self, request: BaseRequest, lost: Lost) -> web.StreamResponse:
        """Withhold the answer: reset the connection, or wait until the client has gone."""
        if lost.how == "hang":
            # The transport has no event for a client that has gone.
            while request.transport is not None and not self._closing.is_set():  # noqa: ASYNC110
                await asyncio.sleep(GIVEN_UP_CHECK_S)
        transport = request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            transport.abort()
        # It reaches no client; the server needs an answer from its handler.
        return web.Response()
