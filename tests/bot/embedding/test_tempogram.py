"""The one line in a user's own program."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from typing import Any

import pytest
from aiogram import Bot, F, Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import SendMessage
from aiogram.types import Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tempogram.bot.calls import session
from tempogram.engine.model.errors import SettingsError
from tests import ROOT
from tests.bot.embedding.own_program import GROUP_ID, GROUP_LIMIT, OwnProgram, bot_at


async def test_a_handler_of_a_polling_program_answers_through_the_engine(own: OwnProgram) -> None:
    ids = []

    @own.dispatcher.message()
    async def answer(message: Message) -> None:
        sent = await message.answer(f"heard {message.text}")
        ids.append(sent.message_id)

    async with own.polling():
        assert session.is_installed()
        own.anna.says(own.remote_bot, "hello")
        await own.until_shown("heard hello")

    assert not session.is_installed()
    assert ids == [own.telegram.messages(7)[-1]["message_id"]]


async def test_an_unknown_keyword_is_refused_with_the_near_name(own: OwnProgram) -> None:
    with pytest.raises(SettingsError, match="there is no setting 'redis_uri'; did you mean redis_url"):
        own.tempogram(redis_uri="redis://localhost")


async def test_bots_and_modules_of_the_environment_are_not_run(
    own: OwnProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_TOKENS", "43:another-bots-token")
    monkeypatch.setenv("BEHAVIOURS", "no.such.module")

    async with own.tempogram():
        await own.bot.send_message(7, "hello")

    assert {call["bot_id"] for call in own.telegram.calls()} == {own.remote_bot.bot_id}


async def test_two_in_one_program_are_refused(own: OwnProgram, tmp_path: Any) -> None:
    async with own.tempogram():
        with pytest.raises(RuntimeError, match="a Tempogram runs in this program already"):
            async with own.tempogram(data_dir=tmp_path / "other"):
                pytest.fail("it started")
        await own.bot.send_message(7, "the first one still runs")

    assert own.shown() == ["the first one still runs"]


async def test_the_same_instance_runs_again_with_the_same_bot(own: OwnProgram) -> None:
    tempogram = own.tempogram()

    for text in ("first", "second"):
        async with tempogram:
            await own.bot.send_message(7, text)

    assert own.shown() == ["first", "second"]


async def test_a_call_after_the_end_is_refused_at_once_and_a_read_is_not(own: OwnProgram) -> None:
    async with own.tempogram():
        await own.bot.send_message(7, "before")

    with pytest.raises(RuntimeError, match="Tempogram has ended, so this call was not accepted"):
        await own.bot.send_message(7, "after")
    assert (await own.bot.get_me()).id == own.bot.id
    assert own.shown() == ["before"]


async def test_a_bot_that_speaks_with_another_bot_api_is_refused(own: OwnProgram) -> None:
    stranger = bot_at("http://localhost:8081")

    async with own.tempogram():
        with pytest.raises(SettingsError, match=f"speaks with http://localhost:8081, but .* is {own.telegram.url}"):
            await stranger.send_message(7, "hello")
    await stranger.session.close()


async def test_a_bot_whose_token_was_revoked_goes_on_with_the_new_one(own: OwnProgram) -> None:
    async with own.tempogram():
        await own.bot.send_message(7, "by the old token")
    renewed = bot_at(own.telegram.url, f"{own.bot.id}:the-new-token")
    own.telegram.add_bot(renewed.token, "the_bot")

    async with own.tempogram(), asyncio.timeout(20):
        await renewed.send_message(7, "by the new token")
    await renewed.session.close()

    assert own.shown()[-1:] == ["by the new token"]


async def test_a_bot_with_a_made_up_token_says_nothing_in_the_name_of_the_real_one(own: OwnProgram) -> None:
    """As a request to aiogram's ``TokenBasedRequestHandler`` makes it, of which the token is the only secret."""
    forged = bot_at(own.telegram.url, f"{own.bot.id}:made-up")

    async with own.tempogram():
        await own.bot.send_message(7, "real")
        with pytest.raises(TelegramBadRequest, match=f"Telegram does not know the token of bot {own.bot.id}"):
            await forged.send_message(7, "forged")
    await forged.session.close()

    assert own.shown() == ["real"]


async def test_a_start_that_fails_leaves_the_program_as_it_was(own: OwnProgram) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        async with own.tempogram(database_url="nonsense"):
            pytest.fail("it started")

    await own.bot.send_message(7, "not through the engine")
    assert not session.is_installed()
    assert own.shown() == ["not through the engine"]


class TestAttached:
    """``Tempogram().attach(dispatcher)``."""

    async def test_the_engine_runs_from_before_the_first_hook_until_after_the_last(self, own: OwnProgram) -> None:
        seen = []

        async def note() -> None:
            seen.append(session.is_installed())

        own.dispatcher.startup.register(note)
        own.dispatcher.shutdown.register(note)
        own.tempogram().attach(own.dispatcher)

        await own.dispatcher.emit_startup(bot=own.bot)
        await own.bot.send_message(7, "I run")
        await own.dispatcher.emit_shutdown(bot=own.bot)

        assert seen == [True, True]
        assert not session.is_installed()
        assert own.shown() == ["I run"]

    async def test_the_last_hook_of_a_router_below_still_sends(self, own: OwnProgram) -> None:
        below = Router()
        own.dispatcher.include_router(below)

        @below.shutdown()
        async def say_goodbye(bot: Bot) -> None:
            await bot.send_message(7, "goodbye")

        own.tempogram().attach(own.dispatcher)

        await own.dispatcher.emit_startup(bot=own.bot)
        await own.dispatcher.emit_shutdown(bot=own.bot)

        assert own.shown() == ["goodbye"]

    async def test_the_engine_ends_when_a_startup_hook_fails(self, own: OwnProgram) -> None:
        @own.dispatcher.startup()
        async def fail() -> None:
            raise ZeroDivisionError

        own.tempogram().attach(own.dispatcher)

        with pytest.raises(ZeroDivisionError):
            await own.dispatcher.start_polling(own.bot, handle_signals=False)
        assert not session.is_installed()

    async def test_polling_may_be_stopped_and_started_again(self, own: OwnProgram) -> None:
        own.tempogram().attach(own.dispatcher)

        @own.dispatcher.message()
        async def answer(message: Message) -> None:
            await message.answer(f"heard {message.text}")
            asyncio.get_running_loop().call_later(0.01, own.dispatcher._signal_stop_polling, signal.SIGINT)

        for text in ("one", "two"):
            own.anna.says(own.remote_bot, text)
            await own.dispatcher.start_polling(own.bot, handle_signals=False)

        assert own.shown() == ["heard one", "heard two"]


class TestWebhook:
    """aiogram's ``SimpleRequestHandler`` and ``setup_application`` in a web application of the user's."""

    async def client(self, own: OwnProgram, *, in_background: bool) -> TestClient[Any, Any]:
        app = web.Application()
        own.tempogram().attach(own.dispatcher)
        SimpleRequestHandler(own.dispatcher, own.bot, handle_in_background=in_background).register(app, "/hook")
        setup_application(app, own.dispatcher, bot=own.bot)
        return TestClient(TestServer(app))

    @pytest.mark.parametrize("in_background", [False, True])
    async def test_a_returned_method_goes_through_the_queue_and_not_into_the_reply(
        self, own: OwnProgram, *, in_background: bool
    ) -> None:
        @own.dispatcher.message(F.text)
        async def answer(message: Message) -> SendMessage:
            return message.answer(f"heard {message.text}")

        async with await self.client(own, in_background=in_background) as client:
            update = own.update("hello").model_dump(mode="json", exclude_unset=True, by_alias=True)
            response = await client.post("/hook", json=update)
            body = await response.read()
            await own.until_shown("heard hello")

        assert (response.status, body) == (200, b"{}")
        assert not session.is_installed()

    async def test_an_update_that_is_delivered_twice_is_answered_once(self, own: OwnProgram) -> None:
        @own.dispatcher.message(F.text)
        async def answer(message: Message) -> None:
            await message.answer("one")
            await message.answer("two")

        async with await self.client(own, in_background=False) as client:
            update = own.update("hello").model_dump(mode="json", exclude_unset=True, by_alias=True)
            statuses = [(await client.post("/hook", json=update)).status for _ in range(2)]

        assert statuses == [200, 200]
        assert own.shown() == ["one", "two"]


class TestTheEnd:
    """Ctrl-C, or whatever ends the program's own main()."""

    async def test_what_waits_for_its_places_goes_at_the_next_start(self, own: OwnProgram) -> None:
        outcomes = []

        async def send(text: str) -> None:
            try:
                await own.bot.send_message(GROUP_ID, text)
            except asyncio.CancelledError:
                outcomes.append(f"{text} was cancelled")

        async with own.tempogram(telegram_group_limit_window_s=5):
            await own.fill_group()
            waiting = [asyncio.create_task(send(f"late {n}")) for n in range(3)]
            async with asyncio.timeout(10):
                while len(own.shown(GROUP_ID)) < GROUP_LIMIT:  # noqa: ASYNC110 - it happens in another thread
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # until the three are accepted
        await asyncio.gather(*waiting)
        at_the_end = len(own.shown(GROUP_ID))
        async with own.tempogram(telegram_group_limit_window_s=5):
            earlier = [f"earlier {n}" for n in range(GROUP_LIMIT)]
            await own.until_shown(*earlier, *(f"late {n}" for n in range(3)), chat_id=GROUP_ID)

        assert at_the_end == GROUP_LIMIT
        assert sorted(outcomes) == [f"late {n} was cancelled" for n in range(3)]

    async def test_a_handler_that_still_runs_makes_its_last_call(self, own: OwnProgram) -> None:
        begun = asyncio.Event()

        @own.dispatcher.message()
        async def answer(message: Message) -> None:
            begun.set()
            await asyncio.sleep(0.2)
            await message.answer("the last word")

        async with own.tempogram():
            handling = asyncio.create_task(own.feed(own.update("hello")))
            await begun.wait()

        await handling
        assert own.shown() == ["the last word"]


def test_importing_tempogram_imports_nothing_of_it() -> None:
    code = "import sys, tempogram; print([name for name in sys.modules if name.startswith(('aiogram', 'tempogram.'))])"

    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"
