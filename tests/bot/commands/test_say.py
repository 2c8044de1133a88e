"""``tempogram say``, as a user types it, to the bots of a start without a token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import pytest_asyncio

from tempogram.bot.commands.say import NotSaid, Talk, changes, errors_as_sentences
from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.sync_client import Remote, RemoteBot, RemoteUser, served_in_thread
from tests.end_to_end.program import Program, program
from tests.forked import type_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOP = """
from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

router = Router()
SURE = InlineKeyboardMarkup(inline_keyboard=[[
    InlineKeyboardButton(text="Yes", callback_data="y"), InlineKeyboardButton(text="Help", url="https://example.org"),
]])


@router.message(Command("price"))
async def price(message: Message) -> None:
    await message.answer(f"7 EUR, {message.from_user.first_name}\\nA pizza?", reply_markup=SURE)


@router.message(Command("silent"))
async def silent(message: Message) -> None:
    pass


@router.callback_query(F.data == "y")
async def sold(query: CallbackQuery) -> None:
    await query.message.edit_text("Sold.")
    await query.answer("Thank you")
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tempogram(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """A start without a token, with a module of one's own."""
    directory = tmp_path_factory.mktemp("program")
    (directory / "shop.py").write_text(SHOP)
    async with program(directory, "https://api.telegram.org", BOT_TOKENS="", BEHAVIOURS="shop") as running:
        yield running


async def say(tempogram: Program, *words: str) -> tuple[int, list[str], str]:
    data_dir = str(tempogram.directory / "data")
    status, output, errors = await type_in(tempogram.directory, ["say", *words], DATA_DIR=data_dir)
    return status, output.splitlines(), errors


@pytest.mark.parametrize("bot", ["100", "sim_100_bot", "@sim_100_bot", "100:simulated-bot-1"])
async def test_a_bot_answers_with_the_users_own_module(tempogram: Program, bot: str) -> None:
    status, lines, errors = await say(tempogram, bot, "/price")

    assert (status, errors) == (0, "")
    assert lines == [
        "You → sim_100_bot: /price",
        "sim_100_bot: 7 EUR, You",
        "  A pizza?",
        "  [Yes] [Help https://example.org]",
    ]


async def test_a_pressed_button_shows_the_edit_and_what_the_press_is_answered(tempogram: Program) -> None:
    await say(tempogram, "200", "/price", "--user", "Zoe")

    status, lines, _ = await say(tempogram, "200", "--press", "Yes", "--user", "Zoe")

    assert status == 0
    assert lines[0] == "Zoe → sim_200_bot: [Yes]"
    assert sorted(lines[1:]) == ["sim_200_bot answers the button: Thank you", "sim_200_bot edits: Sold."]


async def test_a_text_and_a_press_go_in_one_command(tempogram: Program) -> None:
    status, lines, _ = await say(tempogram, "100", "/price", "--press", "y", "--user", "Mia")

    assert status == 0
    assert lines[:2] == ["Mia → sim_100_bot: /price", "sim_100_bot: 7 EUR, Mia"]
    assert lines[4] == "Mia → sim_100_bot: [y]"
    assert "sim_100_bot edits: Sold." in lines[5:]


async def test_a_group_is_named_by_its_title(tempogram: Program) -> None:
    status, lines, _ = await say(tempogram, "300", "/price@sim_300_bot", "--chat", "Chess club", "--user", "Anna")

    assert status == 0
    assert lines[0] == "Anna → sim_300_bot in Chess club: /price@sim_300_bot"
    assert "sim_300_bot: 7 EUR, Anna" in lines


async def test_a_bot_that_does_not_answer_is_status_1(tempogram: Program) -> None:
    status, lines, errors = await say(tempogram, "100", "/silent", "--wait", "0.5", "--user", "Ida")

    assert (status, lines) == (1, ["Ida → sim_100_bot: /silent"])
    assert errors == "sim_100_bot did not answer within 0.5 s.\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["9", "hi"], "there is no bot '9' in the simulated Telegram; it has 100 (@sim_100_bot)"),
        (
            ["100", "hi", "--chat", "Nowhere"],
            "there is no chat 'Nowhere' in the simulated Telegram; it has 'News desk'",
        ),
        (["100", "--press", "No", "--user", "Kim"], "no message of sim_100_bot here has a button 'No'"),
        (["100", "hi", "--simulator", "http://127.0.0.1:9"], "no simulated Telegram answers at http://127.0.0.1:9"),
    ],
)
async def test_what_is_not_there_is_one_sentence(tempogram: Program, words: list[str], sentence: str) -> None:
    status, lines, errors = await say(tempogram, *words)

    assert (status, lines) == (2, [])
    assert errors.startswith(f"tempogram: {sentence}")
    assert errors.count("\n") == 1


async def test_the_simulator_may_be_named_by_its_address(tempogram: Program, tmp_path: Path) -> None:
    url = (tempogram.directory / "data" / "simulated" / "simulator").read_text()

    status, output, _ = await type_in(tmp_path, ["say", "100", "/price", "--simulator", url, "--user", "Lea"])

    assert status == 0
    assert "sim_100_bot: 7 EUR, Lea" in output


async def test_without_a_simulated_telegram_it_says_so(tmp_path: Path) -> None:
    status, output, errors = await type_in(tmp_path, ["say", "100", "/price"])

    assert (status, output) == (2, "")
    assert errors.startswith("tempogram: no simulated Telegram runs here; start tempogram run without BOT_TOKENS")


async def test_a_simulator_that_refuses_something_or_ends_meanwhile_is_one_sentence() -> None:
    with served_in_thread() as telegram:
        anna = telegram.add_user("Anna")
        with pytest.raises(NotSaid, match="refuses this: there is no bot 9"), errors_as_sentences():
            anna.says(RemoteBot(9, "", "gone"), "hi")

    with pytest.raises(NotSaid, match="does not answer any more"), errors_as_sentences():
        anna.says(RemoteBot(9, "", "gone"), "hi")


async def test_what_a_bot_changed_is_said_without_what_a_terminal_would_obey() -> None:
    before = {1: {"message_id": 1, "text": "a"}, 2: {"message_id": 2, "text": "b"}}
    after = {1: {"message_id": 1, "text": "a\x1b[2J"}, 3: {"message_id": 3, "photo": [], "caption": "the sea"}}

    assert list(changes(before, after, "bot")) == ["bot edits: a�[2J", "bot: (photo) the sea", "bot deletes: b"]


class World:
    """A simulated Telegram that keeps three messages, and a clock that only ``sleep`` moves."""

    def __init__(self, telegram: Remote, happens: Callable[[World], object]) -> None:
        self.telegram = telegram
        self.bot = telegram.add_bot("100:x", "quiet_bot")
        self.group = telegram.add_chat(bots=[self.bot])
        self.anna = telegram.add_user("Anna")
        self.shown: list[str] = []
        self._now_s = 0.0
        self._happens = happens

    def call(self, method: str, **params: object) -> None:
        request = Request(  # noqa: S310 - the simulator's own address
            f"{self.telegram.url}/bot{self.bot.token}/{method}",
            json.dumps({"chat_id": self.group.chat_id} | params).encode(),
            {"Content-Type": "application/json"},
        )
        urlopen(request).close()  # noqa: S310

    def say(self, text: str) -> bool:
        """Say a text in the group; the rest happens while it waits."""
        return Talk(
            *(self.telegram, self.bot, self.telegram.add_user("You"), self.group),
            first_s=2,
            silent_s=2,
            show=self.shown.append,
            now_s=lambda: self._now_s,
            sleep=self._sleep,
        ).say(text)

    def _sleep(self, _: float) -> None:
        if self._now_s == 0:
            self._happens(self)
        self._now_s += 1


def said_in(happens: Callable[[World], object]) -> tuple[bool, list[str]]:
    """Say something to a bot that wrote before; return whether it answers, and what is shown after one's own line."""
    with served_in_thread(SimulatorSettings(messages_kept=3)) as telegram:
        world = World(telegram, happens)
        world.call("sendMessage", text="an old message")
        return world.say("hi"), world.shown[1:]


async def test_a_message_that_newer_ones_pushed_out_is_no_deleted_one() -> None:
    said = said_in(lambda world: [world.anna.says(world.group, "hello") for _ in range(4)])

    assert said == (False, [])


async def test_a_deleted_message_is_said() -> None:
    said = said_in(lambda world: world.call("deleteMessage", message_id=1))

    assert said == (True, ["quiet_bot deletes: an old message"])


class LateBot(Remote):
    """A simulated Telegram whose bot answers after 90 s of a clock that only ``sleep`` moves."""

    now_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def call(self, method: str, path: str, body: object = None) -> Any:
        if method == "POST":
            return {"message_ids": [1]}
        return [{"message_id": 2, "from": {"id": 100}, "text": "at last"}] if self.now_s > 90 else []


async def test_a_bot_may_take_longer_than_a_minute_if_it_is_waited_for() -> None:
    telegram, shown = LateBot(""), list[str]()
    bot, user = RemoteBot(100, "", "late_bot"), RemoteUser(1, "You", telegram)
    talk = Talk(
        *(telegram, bot, user, None),
        first_s=120,
        silent_s=2,
        show=shown.append,
        now_s=lambda: telegram.now_s,
        sleep=telegram.sleep,
    )

    assert talk.say("hi")
    assert shown == ["You → late_bot: hi", "late_bot: at last"]
