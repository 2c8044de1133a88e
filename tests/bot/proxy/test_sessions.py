"""Every call to Telegram goes through the proxy: the whole program, at a host that only the proxy knows."""

from __future__ import annotations

import io
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramNetworkError
from aiogram.methods import GetMe
from aiogram.types import BufferedInputFile
from pydantic import SecretStr

from tempogram.bot import wiring
from tempogram.bot.commands.doctor import checks
from tempogram.bot.commands.doctor.checks import TELEGRAM, Finding, Verdict
from tempogram.bot.config.settings import Settings, load
from tempogram.bot.proxy.address import Proxy, parse_proxy
from tempogram.bot.proxy.errors import why_unanswered
from tempogram.bot.proxy.sessions import DirectSession, session_through
from tempogram.bot.runtime.lifecycle import running
from tempogram.simulator import Simulator, SimulatorSettings
from tempogram.simulator.server.server import Served
from tests.bot.proxy.proxies import HOST, FakeProxy, at_host, through
from tests.bot.telegram.test_connections import FRAMED, Server, self_signed, tls_with
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN, Program

SCHEMES = pytest.mark.parametrize("scheme", ["http", "socks5"])
USER = "me:canary"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without a ``.env``."""
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def telegram() -> AsyncIterator[Served]:
    simulator = Simulator(SimulatorSettings())
    simulator.add_bot(TOKEN, "sender_bot")
    async with simulator.serve() as served:
        yield served


def settings_of(url: str, proxy_url: str, **more: Any) -> Settings:
    return load(
        telegram_api_url=url,
        telegram_proxy=SecretStr(through(proxy_url, USER)),
        bot_tokens=(SecretStr(TOKEN),),
        admin_token=SecretStr(ADMIN_TOKEN),
        data_dir=Path("data"),
        **more,
    )


@SCHEMES
async def test_polls_messages_files_and_reads_of_a_bot_go_through_the_proxy(scheme: str) -> None:
    proxy = FakeProxy(wants=USER)
    async with telegram() as served, proxy.serve(scheme) as proxy_url:
        settings = settings_of(at_host(served.url), proxy_url)
        async with wiring.program(settings) as built, running(built):
            bot = built.front.fleet.registry.bot(42)
            sent = await bot.send_document(7, BufferedInputFile(b"a cat", "cat.txt"))
            assert (await bot.get_me()).username == "sender_bot"
            assert sent.document is not None
            downloaded = await bot.download(sent.document)
            simulator = served.simulator
            simulator.add_user("Anna").says(simulator.telegram.world.bots[42], "hello")  # ends its first poll
            built.front.updates.update_sources.start()
            await Program.until(lambda: called(served, "getUpdates"), within_s=10)
            await built.front.updates.update_sources.stop()

    assert isinstance(downloaded, io.BytesIO)
    assert downloaded.read().startswith(b"sim-")  # the simulator's content of every file
    assert set(proxy.credentials) == {USER}


async def called(served: Served, method: str) -> bool:
    return method in served.simulator.report().by_method


@SCHEMES
async def test_an_uncounted_call_names_the_proxy_that_is_away(scheme: str) -> None:
    assert await why_get_me_failed(parse_proxy(f"{scheme}://{USER}@127.0.0.1:9")) == (
        "the proxy 127.0.0.1:9 cannot be reached (ConnectionRefusedError)"
    )


@SCHEMES
async def test_an_uncounted_call_names_the_proxy_whose_name_is_unknown(scheme: str) -> None:
    assert (await why_get_me_failed(parse_proxy(f"{scheme}://{USER}@{HOST}:9"))).startswith(
        f"the proxy {HOST}:9 cannot be reached ("
    )


async def test_an_uncounted_call_names_the_proxy_that_wants_another_user() -> None:
    async with FakeProxy(wants="me:right").serve("http") as proxy_url:
        proxy = parse_proxy(through(proxy_url, USER))
        assert await why_get_me_failed(proxy, url=f"http://{HOST}") == (
            f"the proxy {proxy} refused with HTTP 407; it wants a user and a password, or others"
        )


async def why_get_me_failed(proxy: Proxy, url: str = TELEGRAM) -> str:
    session = DirectSession(proxy, api=TelegramAPIServer.from_base(url))
    try:
        with pytest.raises(TelegramNetworkError) as failed:
            await session(Bot(TOKEN, session=session), GetMe())
    finally:
        await session.close()
    assert "canary" not in repr(failed.value) + repr(failed.value.__cause__)
    return why_unanswered(failed.value)


@SCHEMES
async def test_a_session_reaches_a_host_over_tls_through_the_proxy_and_only_the_proxy_sees_the_password(
    scheme: str, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path)
    trusted = ssl.create_default_context(cafile=certificate)
    server, proxy = Server(FRAMED), FakeProxy(wants=USER)

    async with (
        server.serve(tls_with(certificate)) as url,
        proxy.serve(scheme) as proxy_url,
        session_through(parse_proxy(through(proxy_url, USER)), limit=1) as session,
        session.post(at_host(url), ssl=trusted) as got,
    ):
        assert await got.read() == b"hi"

    assert proxy.credentials == [USER]
    assert "Proxy-Authorization" not in server.heads[0]


@pytest.mark.parametrize(
    ("url", "proxy", "scheme", "said"),
    [
        (
            f"https://{HOST}",
            FakeProxy(wants="me:right"),
            "http",
            "refused with HTTP 407; it wants a user and a password",
        ),
        (
            f"http://{HOST}",
            FakeProxy(wants="me:right"),
            "http",
            "refused with HTTP 407; it wants a user and a password",
        ),
        (f"https://{HOST}", FakeProxy(answer=b"HTTP/1.1 403 No\r\n\r\n"), "http", "refused with HTTP 403"),
        (f"https://{HOST}", FakeProxy(wants="me:right"), "socks5", "refused: Username and password authentication"),
    ],
)
async def test_the_doctor_names_a_proxy_that_refuses(url: str, proxy: FakeProxy, scheme: str, said: str) -> None:
    async with proxy.serve(scheme) as proxy_url:
        settings = settings_of(url, proxy_url)
        [finding] = await checks.check_proxy(settings)
        answers = await checks.ask_all(settings, {42: TOKEN})

    assert finding.verdict is Verdict.LACKS
    assert finding.said.startswith(f"the proxy {settings.proxy} {said}")
    assert answers[0].status is None
    assert answers[0].reason.startswith(f"the proxy {settings.proxy} {said}")
    assert "canary" not in repr([finding, answers])


@SCHEMES
async def test_the_doctor_finds_a_proxy_that_passes_calls_on(scheme: str) -> None:
    async with telegram() as served, FakeProxy(wants=USER).serve(scheme) as proxy_url:
        settings = settings_of(at_host(served.url), proxy_url)
        findings = await checks.check_proxy(settings)
        answers = await checks.ask_all(settings, {42: TOKEN})

    assert findings == [Finding("proxy", Verdict.FINE, f"{settings.proxy} passes calls on")]
    assert [each.status for each in answers] == [200]
