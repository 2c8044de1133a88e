"""Passes requests of the Bot API door on to Telegram as they came, and answers back as they arrive.

They have connections of their own, so that none of them keeps a message waiting, and each bot has a share of them: a
thousand long polls of one bot leave places to the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from yarl import URL

from tempogram.api.core.errors import ApiError
from tempogram.api.core.ports import ApiAnswer, Crowded, PassedAnswer, PassedCall, TelegramUnreachable
from tempogram.bot.proxy.address import Proxy
from tempogram.bot.proxy.errors import why_unanswered
from tempogram.bot.proxy.sessions import connector_through
from tempogram.bot.telegram.methods import numbered
from tempogram.bot.telegram.responses import classify
from tempogram.bot.updates.shares import Shares
from tempogram.engine.model.messages import Hold
from tempogram.engine.model.outcomes import Throttled
from tempogram.engine.sending.known_holds import KnownHolds

CONNECT_S = 10.0
SILENT_S = 75.0
"""How long nothing may arrive: Telegram holds an empty poll open for 50 s at most, and a proxy may be slow.

Source: https://core.telegram.org/bots/api#getupdates
"""

CHUNK_BYTES = 64 << 10

TO_CLIENT = frozenset(
    """
    accept-ranges content-disposition content-encoding content-length content-range content-type etag last-modified
    retry-after
    """.split()
)
"""Headers of Telegram's answers that a client is to see."""

OWN_HEADERS = ("Accept", "Accept-Encoding", "User-Agent")
"""Headers that aiohttp would add by itself: a client that cannot read gzip would get it."""

UNAVAILABLE = (aiohttp.ClientError, OSError)
"""What a call raises that gets no answer; ``TimeoutError`` is an ``OSError``."""

NOTHING_CALLED = b'{"ok":true,"result":true}'


@asynccontextmanager
async def connections(proxy: Proxy | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the connections; ``PassThrough`` bounds them."""
    async with aiohttp.ClientSession(
        connector=connector_through(proxy, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S),
        auto_decompress=False,  # a client gets what it asked for
        skip_auto_headers=OWN_HEADERS,
    ) as session:
        yield session


class PassThrough:
    """See ``api.core.ports.PassThrough``.

    Args:
        session: See ``connections``.
        api_url: Where the Bot API is.
        places: How many calls may be under way, and which bot has how many.
        known_holds: Those that this process knows of.
    """

    def __init__(
        self, *, session: aiohttp.ClientSession, api_url: str, places: Shares, known_holds: KnownHolds
    ) -> None:
        self._session = session
        self._api_url = api_url
        self._places = places
        self._known_holds = known_holds

    @asynccontextmanager
    async def open(self, call: PassedCall) -> AsyncIterator[PassedAnswer]:
        """See ``PassThrough``."""
        with self._place(call.bot_id):
            async with AsyncExitStack() as stack:
                response = await self._request(call, stack)
                headers = [
                    (name.lower(), value) for name, value in response.raw_headers if name.lower().decode() in TO_CLIENT
                ]
                yield PassedAnswer(response.status, headers, _chunks(response))

    async def _request(self, call: PassedCall, stack: AsyncExitStack) -> aiohttp.ClientResponse:
        url = URL(self._api_url + call.path + (f"?{call.query}" if call.query else ""), encoded=True)
        try:
            return await stack.enter_async_context(
                self._session.request(
                    call.http_method, url, data=call.body, headers=call.headers, allow_redirects=False
                )
            )
        except UNAVAILABLE as error:
            if isinstance(error.__cause__, ApiError):  # it is the client's body that could not be read
                raise error.__cause__ from None
            raise TelegramUnreachable(f"Telegram gave no answer ({why_unanswered(error)})") from None

    async def show_action(self, bot_id: int, token: str, params: Mapping[str, Any]) -> ApiAnswer:
        """See ``PassThrough``."""
        given = params.get("chat_id")
        chat_id = numbered(given) if isinstance(given, int | str) else None
        if self._known_holds.is_held(bot_id, chat_id):
            return ApiAnswer(200, NOTHING_CALLED)
        with self._place(bot_id):
            answer = await self._post(f"/bot{token}/sendChatAction", params)
        outcome = classify(answer.status, answer.body)
        if isinstance(outcome, Throttled):
            self._known_holds.note(Hold(bot_id, chat_id, self._known_holds.in_ms(outcome.retry_after_ms)))
        return answer

    async def _post(self, path: str, params: Mapping[str, Any]) -> ApiAnswer:
        try:
            async with self._session.post(URL(self._api_url + path, encoded=True), json=params) as response:
                return ApiAnswer(response.status, await response.read())
        except UNAVAILABLE as error:
            raise TelegramUnreachable(f"Telegram gave no answer ({why_unanswered(error)})") from None

    @contextmanager
    def _place(self, bot_id: int) -> Iterator[None]:
        if not self._places.may_take(bot_id):
            raise Crowded("more calls are passed on to Telegram than may; make fewer at a time")
        self._places.take(bot_id)
        try:
            yield
        finally:
            self._places.give_back(bot_id)


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            yield chunk
    except UNAVAILABLE as error:
        raise TelegramUnreachable(f"Telegram's answer broke off ({type(error).__name__})") from None
