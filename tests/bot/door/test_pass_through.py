"""What goes to Telegram as it came: streamed in both directions, bounded, and ended with its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from tempogram.api.core.errors import TooLarge
from tempogram.api.core.ports import Crowded, PassedCall, TelegramUnreachable
from tempogram.bot.door.pass_through import PassThrough, connections
from tempogram.bot.proxy.address import parse_proxy
from tempogram.bot.updates.shares import Shares
from tempogram.engine.model.messages import Hold
from tempogram.engine.sending.known_holds import KnownHolds
from tests.bot.fakes import BOT_ID, TOKEN
from tests.bot.proxy.proxies import FakeProxy, at_host, through
from tests.fakes import START_MS, Clock


@dataclass
class Server:
    """A server in place of Telegram's: it notes what comes, and holds back what the test wants."""

    seen: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    was_cut_off: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 200
    breaks_off: bool = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path, await request.read()))
        self.headers.append(dict(request.headers))
        self.arrived.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.was_cut_off.set()
            raise
        if self.status == 429:
            body = b'{"ok":false,"error_code":429,"description":"Too Many","parameters":{"retry_after":7}}'
            return web.Response(status=429, body=body, headers={"X-Other": "a", "Retry-After": "7"})
        response = web.StreamResponse(status=self.status, headers={"Content-Type": "x/y", "Location": "elsewhere"})
        await response.prepare(request)
        for part in (b"one", b"two"):
            await response.write(part)
        if self.breaks_off:
            assert request.transport is not None
            request.transport.abort()
        return response


@pytest.fixture
def server() -> Server:
    server = Server()
    server.may_answer.set()
    return server


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", server.answer)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    server.may_answer.set()
    await runner.cleanup()


@pytest.fixture
def known_holds(clock: Clock) -> KnownHolds:
    return KnownHolds(clock)


@pytest.fixture
async def passing(url: str, known_holds: KnownHolds) -> AsyncIterator[PassThrough]:
    async with connections() as session:
        yield PassThrough(session=session, api_url=url, places=Shares(16), known_holds=known_holds)


def call(method: str = "getMe", *, bot_id: int = BOT_ID, body: AsyncIterator[bytes] | None = None) -> PassedCall:
    headers = {"content-type": "application/json"} if body else {}
    return PassedCall(
        bot_id=bot_id, http_method="POST", path=f"/bot{TOKEN}/{method}", query="a=%20b", headers=headers, body=body
    )


async def test_a_call_arrives_as_it_came(server: Server, passing: PassThrough) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"a": 1}'

    async with passing.open(call(body=body())) as answer:
        passed_on = b"".join([chunk async for chunk in answer.chunks])

    assert server.seen == [("POST", f"/bot{TOKEN}/getMe?a=%20b", b'{"a": 1}')]
    assert server.headers[0]["Content-Type"] == "application/json"
    assert (answer.status, passed_on) == (200, b"onetwo")


async def test_only_some_headers_of_an_answer_come_back(passing: PassThrough) -> None:
    async with passing.open(call()) as answer:
        names = {name for name, _ in answer.headers}

    assert names == {b"content-type"}


async def test_telegram_is_not_asked_for_a_compressed_answer_that_the_client_did_not_ask_for(
    server: Server, passing: PassThrough
) -> None:
    async with passing.open(call()):
        pass
    await passing.show_action(BOT_ID, TOKEN, {"chat_id": 7, "action": "typing"})

    for headers in server.headers:
        assert not {"accept", "accept-encoding", "user-agent"} & {name.lower() for name in headers}


async def test_a_body_is_passed_on_while_it_arrives(server: Server, passing: PassThrough) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first "
        yield b"second"

    async with passing.open(call(body=body())):
        pass

    assert server.seen[0][2] == b"first second"


async def test_a_body_that_cannot_be_read_to_its_end_is_no_fault_of_telegram(passing: PassThrough) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first "
        raise TooLarge(6)

    with pytest.raises(TooLarge):
        async with passing.open(call(body=body())):
            pass


async def test_a_call_whose_client_goes_ends_at_telegram_too(server: Server, passing: PassThrough) -> None:
    server.may_answer.clear()

    async def poll() -> None:
        async with passing.open(call("getUpdates")):
            pass

    polling = asyncio.create_task(poll())
    await server.arrived.wait()
    polling.cancel()

    async with asyncio.timeout(10):
        await server.was_cut_off.wait()


async def test_the_calls_of_one_bot_leave_places_to_the_others(server: Server, passing: PassThrough) -> None:
    server.may_answer.clear()

    async def poll(bot_id: int) -> int:
        async with passing.open(call("getUpdates", bot_id=bot_id)) as answer:
            return answer.status

    polls = [asyncio.create_task(poll(1)) for _ in range(1_000)]
    refused, _ = await asyncio.wait(polls[12:])
    other = asyncio.create_task(poll(2))
    server.may_answer.set()

    assert {type(each.exception()) for each in refused} == {Crowded}
    assert await asyncio.gather(*polls[:12], other) == [200] * 13


async def test_an_address_without_an_answer_is_said_without_the_token(known_holds: KnownHolds) -> None:
    async with connections() as session:
        passing = PassThrough(session=session, api_url="http://127.0.0.1:1", places=Shares(8), known_holds=known_holds)
        with pytest.raises(TelegramUnreachable) as unreachable:
            async with passing.open(call()):
                pass
        with pytest.raises(TelegramUnreachable):
            await passing.show_action(BOT_ID, TOKEN, {"chat_id": 7})

    assert TOKEN not in str(unreachable.value)
    assert unreachable.value.__cause__ is None


async def test_an_answer_that_breaks_off_is_said_without_the_token(server: Server, passing: PassThrough) -> None:
    server.breaks_off = True

    async with passing.open(call()) as answer:
        with pytest.raises(TelegramUnreachable) as broken:
            _ = [chunk async for chunk in answer.chunks]

    assert TOKEN not in str(broken.value)


async def test_an_action_during_a_hold_makes_no_call(
    server: Server, passing: PassThrough, known_holds: KnownHolds
) -> None:
    known_holds.note(Hold(BOT_ID, 7, START_MS + 1_000))

    answer = await passing.show_action(BOT_ID, TOKEN, {"chat_id": "7", "action": "typing"})

    assert (answer.status, answer.body) == (200, b'{"ok":true,"result":true}')
    assert server.seen == []


async def test_a_429_for_an_action_is_passed_back_and_remembered(
    server: Server, passing: PassThrough, known_holds: KnownHolds
) -> None:
    server.status = 429

    answer = await passing.show_action(BOT_ID, TOKEN, {"chat_id": 7, "action": "typing"})
    again = await passing.show_action(BOT_ID, TOKEN, {"chat_id": 7, "action": "typing"})

    assert (answer.status, again.status) == (429, 200)
    assert len(server.seen) == 1
    assert known_holds.is_held(BOT_ID, 7)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_what_is_passed_on_goes_through_the_proxy(
    server: Server, url: str, known_holds: KnownHolds, scheme: str
) -> None:
    proxy = FakeProxy(wants="me:canary")
    async with (
        proxy.serve(scheme) as proxy_url,
        connections(parse_proxy(through(proxy_url, "me:canary"))) as session,
    ):
        passing = PassThrough(session=session, api_url=at_host(url), places=Shares(16), known_holds=known_holds)
        async with passing.open(call()) as answer:
            assert b"".join([chunk async for chunk in answer.chunks]) == b"onetwo"

    assert proxy.credentials == ["me:canary"]
    assert "Proxy-Authorization" not in server.headers[0]


async def test_a_client_is_answered_which_proxy_is_away(known_holds: KnownHolds) -> None:
    async with connections(parse_proxy("http://me:canary@127.0.0.1:9")) as session:
        passing = PassThrough(session=session, api_url="https://a.test", places=Shares(16), known_holds=known_holds)
        with pytest.raises(TelegramUnreachable, match=r"\(the proxy 127\.0\.0\.1:9 cannot be reached"):
            async with passing.open(call()):
                pass
