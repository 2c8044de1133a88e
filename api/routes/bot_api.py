"""The Bot API itself, at this address: a client that is given it in place of Telegram's is paced by that alone.

No bearer token is needed: the path bears the bot's own, as at Telegram. Decision 0024 has the reasons.

Source: https://core.telegram.org/bots/api#making-requests
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from tempogram.api.core.dependencies import Dependencies, Door
from tempogram.api.core.errors import Conflict, Invalid, MethodNotAllowed, NotFound
from tempogram.api.core.ports import ApiAnswer, PassedCall, Way
from tempogram.api.http.body_limits import declared_bytes
from tempogram.api.http.body_reader import BodyMemory
from tempogram.api.http.call_params import bounded, read_params
from tempogram.api.http.disconnection import watched
from tempogram.api.http.telegram_errors import refusal_of, response_of
from tempogram.api.routes.webhook import NamedRoute
from tempogram.api.usecases.bot_api import BotApi, BotApiCall
from tempogram.api.usecases.submissions import Submissions

PATH = "/bot{bot_token}/{method:path}"
FILE_PATH = "/file/bot{bot_token}/{file_path:path}"

METHOD = re.compile(r"[A-Za-z0-9_]{1,64}")
OF_A_BOT = re.compile(r"(/file)?/bot[0-9]")
"""How the paths begin that are Telegram's; ``/bots`` is ours."""

TEST = "test/"
"""How a method begins that is meant for Telegram's test servers. Source: https://core.telegram.org/bots/features#testing-your-bot"""

WISHES = {"priority": "priority", "delivery": "delivery", "dedup_key": "dedup-key"}
"""Fields of ``MessageIn``, and the header ``X-Tempogram-…`` of each."""

EXPIRES_IN, WAIT = "x-tempogram-expires-in", "x-tempogram-wait"
WAIT_S_MAX = 600.0
"""untuned: no client waits longer for an answer."""

TO_TELEGRAM = ("content-type", "content-length", "accept", "accept-encoding", "range", "user-agent")
"""Headers of a client that Telegram is to see."""

UPDATES_COME_HERE = (
    "Tempogram gets the updates of this bot; ask it for none elsewhere, or give them up here: "
    'PATCH /bots/{bot_id} {{"updates": "none"}}'
)
NO_TEST_SERVERS = ": Telegram's test servers are not reached through Tempogram, as it sends to the real ones"


def is_of_a_bot(path: str) -> bool:
    """Tell whether a path is one of the Bot API.

    >>> [is_of_a_bot(path) for path in ("/bot42:abc/getMe", "/file/bot42:abc/a.jpg", "/bots/42")]
    [True, True, False]
    """
    return OF_A_BOT.match(path) is not None


def bot_api(dependencies: Dependencies, door: Door, submissions: Submissions, memory: BodyMemory) -> list[NamedRoute]:
    """Return the routes of the door."""
    calls = Calls(dependencies, door, BotApi(dependencies, door, submissions), memory)
    return [BotRoute(PATH, Endpoint(calls.call)), BotRoute(FILE_PATH, Endpoint(calls.file))]


class BotRoute(NamedRoute):
    """Matches only what begins as a bot's path does."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if is_of_a_bot(scope["path"]) else (Match.NONE, {})


class Endpoint:
    """Answers a request, and each error in Telegram's form; an ASGI app, as what is passed on has no response yet."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_and_note(event: Any) -> None:
            nonlocal has_begun
            has_begun = True
            await send(event)

        try:
            await self._answer(Request(scope, receive), send_and_note)
        except ClientDisconnect:
            return  # there is no client to answer
        except Exception as error:  # noqa: BLE001 - an error of ours has Telegram's form here, too
            refusal = refusal_of(error)  # which logs what is not foreseen
            if not has_begun:
                await response_of(refusal)(scope, receive, send)


class Calls:
    """Calls and downloads of any bot whose token Telegram knows."""

    def __init__(self, dependencies: Dependencies, door: Door, bot_api: BotApi, memory: BodyMemory) -> None:
        self._dependencies = dependencies
        self._door = door
        self._bot_api = bot_api
        self._memory = memory

    async def call(self, request: Request, send: Send) -> None:
        """Answer ``/bot<token>/<method>``."""
        method = request.path_params["method"].removesuffix("/")
        if method.startswith(TEST):  # before its token is looked at, which the real servers do not know
            raise NotFound(NO_TEST_SERVERS)
        bot_id = await self._bot_of(request)
        if not METHOD.fullmatch(method):
            raise NotFound("")
        match self._door.calls.way(method):
            case Way.QUEUE:
                await self._answer(request, send, await self._queued(request, bot_id, method))
            case Way.ACTION:
                await self._answer(request, send, await self._action(request, bot_id))
            case Way.UPDATES if self._door.gets_updates(bot_id):
                raise Conflict(UPDATES_COME_HERE.format(bot_id=bot_id))
            case _:
                await self._pass_on(request, send, bot_id, f"/bot{request.path_params['bot_token']}/{method}")

    async def file(self, request: Request, send: Send) -> None:
        """Answer ``/file/bot<token>/<file_path>``."""
        bot_id, path = await self._bot_of(request), request.path_params["file_path"]
        if ".." in path.split("/"):
            raise NotFound("")
        await self._pass_on(request, send, bot_id, f"/file/bot{request.path_params['bot_token']}/{quote(path)}")

    async def _bot_of(self, request: Request) -> int:
        """Return the bot of the path, before the body is read."""
        if request.method not in {"GET", "POST"}:
            raise MethodNotAllowed
        return await self._door.tokens.bot_of(request.path_params["bot_token"])

    async def _queued(self, request: Request, bot_id: int, method: str) -> ApiAnswer:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._bot_api.place(bot_id))
            params, files = await read_params(request, self._dependencies, self._memory, stack)
            call = BotApiCall(
                bot_id=bot_id,
                method=method,
                params=params,
                files=files,
                wishes=wishes_of(request.headers),
                wait_s=_seconds(request.headers, WAIT, most=WAIT_S_MAX),
            )
            async with watched(request.receive) as gone:
                return await self._bot_api.make(call, gone)

    async def _action(self, request: Request, bot_id: int) -> ApiAnswer:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._bot_api.place(bot_id))
            params, _ = await read_params(request, self._dependencies, self._memory, stack)
        return await self._door.telegram.show_action(bot_id, request.path_params["bot_token"], params)

    @staticmethod
    async def _answer(request: Request, send: Send, answer: ApiAnswer) -> None:
        await response_of(answer)(request.scope, request.receive, send)

    async def _pass_on(self, request: Request, send: Send, bot_id: int, path: str) -> None:
        """Pass a request on to Telegram, and its answer back as it arrives; end the call if the client goes."""
        body_read = asyncio.Event()
        call = PassedCall(
            bot_id=bot_id,
            http_method=request.method,
            path=path,
            query=request.scope["query_string"].decode("latin-1"),
            headers={name: request.headers[name] for name in TO_TELEGRAM if name in request.headers},
            body=_body(bounded(request, self._dependencies), body_read),
        )
        async with watched(request.receive, body_read) as gone:
            passing = asyncio.create_task(self._pass(call, send))
            try:
                await asyncio.wait({passing, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not passing.done():
                    raise ClientDisconnect
                passing.result()
            finally:
                passing.cancel()
                await asyncio.wait([passing])

    async def _pass(self, call: PassedCall, send: Send) -> None:
        async with self._door.telegram.open(call) as answer:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            async for chunk in answer.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _body(request: Request, body_read: asyncio.Event) -> AsyncIterator[bytes] | None:
    """Return a body as it arrives, so that none is in memory before its call has a place; None if there is none."""
    if declared_bytes(request.scope) or "transfer-encoding" in request.headers:
        return _stream(request, body_read)
    body_read.set()
    return None


async def _stream(request: Request, body_read: asyncio.Event) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk
    body_read.set()


def wishes_of(headers: Headers) -> Mapping[str, Any]:
    """Return what a client wants of the queue, by the fields of ``MessageIn``.

    >>> wishes_of(Headers({"X-Tempogram-Priority": "low", "X-Tempogram-Expires-In": "60"}))
    {'priority': 'low', 'expires_in_s': 60.0}
    """
    wishes: dict[str, Any] = {}
    for field, name in WISHES.items():
        if (value := headers.get(f"x-tempogram-{name}")) is not None:
            wishes[field] = value
    if (expires_in_s := _seconds(headers, EXPIRES_IN)) is not None:
        wishes["expires_in_s"] = expires_in_s
    return wishes


def _seconds(headers: Headers, name: str, *, most: float | None = None) -> float | None:
    text = headers.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) or (most is not None and float(text) > most):
        raise Invalid(f"the header {name} should be a number of seconds" + (f" up to {most:g}" if most else ""))
    return float(text)
