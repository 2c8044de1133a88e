"""The simulator behind HTTP: one handler for every path, no router, no access log."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from tempogram.simulator.limits.faults import Fault
from tempogram.simulator.methods.calls import Params, Refused
from tempogram.simulator.methods.methods import METHODS, Method
from tempogram.simulator.report import Report, report_of
from tempogram.simulator.server import control, wire
from tempogram.simulator.server.delivery import Delivery
from tempogram.simulator.server.telegram import Lost, Telegram, end_polls
from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.world.scripted_users import ScriptedUsers
from tempogram.simulator.world.world import Bot, Chat, ChatType, User

PATHS_KEPT = 100_000
BACKLOG = 4_096  # connections that wait to be accepted when a fleet starts
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
class Simulator:
    """A Telegram to send to. Settings, faults and people are changed while it runs."""

    settings: SimulatorSettings = field(default_factory=SimulatorSettings)
    telegram: Telegram = field(init=False)
    talkers: ScriptedUsers = field(init=False)
    _delivery: Delivery = field(init=False)
    _addresses: dict[str, tuple[Bot, Method]] = field(default_factory=dict)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Begin with an empty world and nobody talking."""
        self.telegram = Telegram(self.settings)
        self._delivery = Delivery(self.telegram.world)
        self.telegram.world.courier = self._delivery
        self.talkers = ScriptedUsers(self.telegram.world)

    @asynccontextmanager
    async def serve(self, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Served]:
        """Answer on a port, 0 for a free one, until the block ends."""
        self._closing.clear()
        server = web.Server(self._answer, request_factory=self._request, access_log=None, keepalive_timeout=KEEPALIVE_S)
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
            await self._delivery.open()
            actual_port = runner.addresses[0][1]
            name = f"[{host}]" if ":" in host else host
            yield Served(f"http://{name}:{actual_port}", self)
        finally:
            self._closing.set()
            end_polls([bot.mailbox for bot in self.telegram.world.bots.values()])
            await self.talkers.stop()
            await self._delivery.close()
            await runner.cleanup()

    def add_bot(self, token: str, username: str = "", *, privacy: bool = False) -> Bot:
        """See ``World.add_bot``."""
        # A new token may end an old one, which must not be found any more.
        self._addresses.clear()
        return self.telegram.world.add_bot(token, username, privacy=privacy)

    def add_chat(
        self,
        kind: ChatType,
        title: str,
        *,
        chat_id: int | None = None,
        username: str = "",
        bots: Iterable[Bot] = (),
    ) -> Chat:
        """See ``World.add_chat``."""
        return self.telegram.world.add_chat(kind, title, chat_id=chat_id, username=username, bots=bots)

    def add_user(self, first_name: str, username: str = "", *, user_id: int | None = None) -> User:
        """See ``World.add_user``."""
        return self.telegram.world.add_user(first_name, username, user_id=user_id)

    def migrate(self, chat_id: int, to_chat_id: int | None = None) -> int:
        """Make a supergroup of a group, tell its bots, and return its id."""
        return self.telegram.migrate(chat_id, to_chat_id)

    def order(self, fault: Fault) -> int:
        """Put a fault in force and return its number; rules are used in the order in which they came."""
        return self.telegram.order(fault)

    def change(self, settings: SimulatorSettings) -> None:
        """Go on under other settings."""
        self.settings = settings
        self._addresses.clear()
        self.telegram.change(settings)

    def reset(self) -> None:
        """Forget windows, faults and the record; bots, chats and updates stay."""
        self.telegram.reset()

    def report(self) -> Report:
        """Write down where things stand."""
        telegram = self.telegram
        pending = sum(len(bot.mailbox.updates) for bot in telegram.world.bots.values())
        return report_of(telegram.record, telegram.windows, telegram.faults, updates_pending=pending)

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
        except Lost as lost:
            return await self._withhold(request, lost)
        except ConnectionError:
            return web.Response(status=400)  # gone in the middle of its call: nobody reads this, and nothing arrived

    async def _answer_call(self, request: BaseRequest, path: str, query: str) -> web.StreamResponse:
        address = self._addresses.get(path)
        if address is None:
            if path.startswith("/file/bot"):
                return web.Response(body=path.rpartition("/")[2].encode())
            address = self._address(path)
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

    def _address(self, path: str) -> tuple[Bot, Method]:
        """Find the bot and the method that a path names, and remember them."""
        match = wire.TOKEN_PATH.fullmatch(path)
        if match is None:
            raise self._stranger(Refused(404, "Not Found"))
        bot_id, name = int(match["bot_id"]), match["method"]
        bot = self.telegram.world.bot_of(match["token"])
        if bot is None:
            raise self._stranger(Refused(401, "Unauthorized"), bot_id, name)
        method = METHODS.get(name.lower())
        if method is None:
            raise self._stranger(Refused(404, "Not Found: method not found"), bot_id, name)
        if len(self._addresses) >= PATHS_KEPT:
            self._addresses.clear()
        self._addresses[path] = bot, method
        return bot, method

    def _stranger(self, refused: Refused, bot_id: int = 0, method: str = "") -> Refused:
        self.telegram.refuse_stranger(refused, bot_id, method)
        return refused

    async def _withhold(self, request: BaseRequest, lost: Lost) -> web.StreamResponse:
        """Give no answer: reset the connection, or wait until the client has gone."""
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
        # Nobody hears it; the server asks its handler for something to say.
        return web.Response()
