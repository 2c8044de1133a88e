"""The fixtures in the test run of another project: a fresh pytest with nothing but the plugin."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import get_args

import pytest

from tempogram.simulator.limits.faults import Kind
from tests import ROOT

ASYNCIO = (
    *("-p", "pytest_asyncio.plugin"),
    *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
)

# Any client will do; urllib certainly knows nothing of the simulator.
ASK = """
import json, urllib.request

def ask(telegram, bot, method, **params):
    body = json.dumps(params).encode()
    url, headers = f"{telegram.url}/bot{bot.token}/{method}", {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)["result"]
"""


def run_pytest(directory: Path, test: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (directory / "test_it.py").write_text(test)
    # Named outright, so that it does not matter whether the entry point is installed.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "tempogram.simulator.pytest_plugin", "-q", *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def passed(run: subprocess.CompletedProcess[str], number: int) -> bool:
    assert run.returncode == 0, run.stdout + run.stderr
    return f"{number} passed" in run.stdout


@pytest.mark.parametrize("fixture", ["telegram", "telegram_process"])
def test_a_plain_test_uses_every_verb_of_the_fixture_without_an_event_loop(tmp_path: Path, fixture: str) -> None:
    test = (
        ASK
        + """
import pytest
from tempogram.simulator import Fault

@pytest.mark.telegram(group_limit=1)
def test_it(telegram):
    bot, anna = telegram.add_bot(username="echo_bot"), telegram.add_user("Anna")
    group = telegram.add_chat("supergroup", "Friends", bots=[bot])
    anna.says(bot, "/start")
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    (update,) = ask(telegram, bot, "getUpdates")
    sent = ask(telegram, bot, "sendMessage", chat_id=anna.user_id, text="hello", reply_markup=keyboard)
    query_id = anna.presses(bot, sent["message_id"], "Yes")
    assert telegram.answer_to(query_id) is None
    ask(telegram, bot, "answerCallbackQuery", callback_query_id=query_id, text="done")
    assert telegram.answer_to(query_id) == {"text": "done"}
    anna.edits(bot, update["message"]["message_id"], "/help")
    anna.removes(bot, group)
    anna.adds(bot, group)
    anna.blocks(bot)
    anna.unblocks(bot)
    telegram.order(Fault(kind="5xx", times=1))
    with pytest.raises(OSError):
        ask(telegram, bot, "sendMessage", chat_id=group.chat_id, text="hello")
    ask(telegram, bot, "sendMessage", chat_id=group.chat_id, text="hello")
    with pytest.raises(OSError):
        ask(telegram, bot, "sendMessage", chat_id=group.chat_id, text="too much")
    assert [message["text"] for message in telegram.messages(anna.user_id)] == ["/help", "hello"]
    assert len(telegram.wait_for("sendMessage", times=2)) == 2
    assert telegram.report().violations == {"group": 1}
    with pytest.raises(TimeoutError):
        telegram.wait_for("sendPhoto", within_s=0.01)
    with pytest.raises(ValueError, match="earthquake"):
        telegram.change(earthquake=1)

def test_the_next_test_has_a_fresh_telegram(telegram):
    assert telegram.report().calls == 0
""".replace("(telegram)", f"({fixture})")
        .replace("    bot, anna", f"    telegram = {fixture}\n    bot, anna", 1)
        .replace("assert telegram.report().calls", f"assert {fixture}.report().calls")
    )

    assert passed(run_pytest(tmp_path, test), 2)


def test_a_test_that_is_a_coroutine_uses_the_same_fixture(tmp_path: Path) -> None:
    test = """
import asyncio
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

async def test_it(telegram):
    me, anna = telegram.add_bot(), telegram.add_user("Anna")
    anna.says(me, "hello")
    async with AiohttpSession(api=TelegramAPIServer.from_base(telegram.url)) as session:
        bot = Bot(me.token, session=session)
        (update,) = await bot.get_updates()
        waiting = asyncio.create_task(asyncio.to_thread(telegram.wait_for, "sendMessage"))
        await bot.send_message(anna.user_id, update.message.text)
    assert (await waiting)[0]["text"] == "hello"
"""

    assert passed(run_pytest(tmp_path, test, *ASYNCIO), 1)


def test_the_plugin_imports_only_itself_until_a_fixture_is_asked_for(tmp_path: Path) -> None:
    test = """
import sys

def test_it(pytestconfig):
    plugin = "tempogram.simulator.pytest_plugin"
    assert pytestconfig.pluginmanager.hasplugin(plugin)
    assert {"aiohttp", "msgspec", "aiogram", "asyncio"}.isdisjoint(sys.modules)
    ours = {name for name in sys.modules if name.partition(".")[0] == "tempogram"}
    assert ours == {"tempogram", "tempogram.simulator", plugin}
"""

    assert passed(run_pytest(tmp_path, test), 1)


def test_a_wrong_setting_is_refused_with_its_name_and_value(tmp_path: Path) -> None:
    test = """
import pytest

@pytest.mark.telegram(group_limit=-1)
def test_it(telegram):
    pass
"""

    run = run_pytest(tmp_path, test)

    assert "group_limit must be at least 0, not -1" in run.stdout


def test_the_entry_point_names_the_plugin() -> None:
    (name, value), *others = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        "pytest11"
    ].items()

    assert hasattr(EntryPoint(name, value, "pytest11").load(), "telegram_process")
    assert others == []


def test_the_example_in_the_documentation_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "simulator.md").read_text()
    example = re.findall(r"```python\n(async def .*?)```", page, re.DOTALL)[0]
    own = """
import asyncio
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

def my_dispatcher():
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def greet(message):
        await message.answer(f"hello {message.from_user.first_name}")

    return dispatcher

"""

    run = run_pytest(tmp_path, own + example, *ASYNCIO)

    assert passed(run, 1)


def test_the_documentation_names_every_fault() -> None:
    page = (ROOT / "docs" / "simulator.md").read_text()

    assert [kind for kind in get_args(Kind) if f"`{kind}`" not in page] == []


def test_clients_in_other_languages_are_pinned_and_record_no_address() -> None:
    clients = ROOT / "bench" / "clients"
    packages = json.loads((clients / "package.json").read_text())["dependencies"].values()
    requirements = (clients / "requirements.txt").read_text().split()

    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in packages)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9.]+", line) for line in requirements)
    assert not list(clients.glob("*lock*"))
