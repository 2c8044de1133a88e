"""A user's own behaviours: the modules that ``BEHAVIOURS`` names."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiogram import Router
from aiogram.types import ChatMemberUpdated, Message, MessageReactionUpdated

from tempogram.api.core.ports import Refusal
from tempogram.bot.behaviours.own import load
from tempogram.bot.updates.sources import allowed_updates
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tests import ROOT
from tests.bot.talk import ScriptedGenerator, talk, update
from tests.end_to_end.documented import files_in
from tests.fakes import Clock

ROUTER = "from aiogram import Router\nrouter = Router(name=__name__)\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's directory: the working directory, and not yet on Python's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_module_in_the_working_directory_gives_its_router(here: Path) -> None:
    (here / "my_shop.py").write_text(ROUTER)
    (here / "my_desk").mkdir()
    (here / "my_desk" / "news.py").write_text(
        "from aiogram import Router\ndef router():\n    return Router(name='news')\n"
    )

    assert [(each.name, each.router and each.router.name) for each in load(("my_shop", "my_desk.news"))] == [
        ("my_shop", "my_shop"),
        ("news", "news"),
    ]


def test_a_module_chooses_its_name_by_NAME(here: Path) -> None:  # noqa: N802 - as it is spelt
    (here / "my_shop.py").write_text(ROUTER + "NAME = 'pizza'\n")

    assert [each.name for each in load(("my_shop",))] == ["pizza"]


def test_two_modules_of_one_name_are_refused(here: Path) -> None:
    for folder in ("my_shop", "my_desk"):
        (here / folder).mkdir()
        (here / folder / "handlers.py").write_text(ROUTER)

    with pytest.raises(SettingsError, match=r"my_shop.handlers and my_desk.handlers are both named handlers; give one"):
        load(("my_shop.handlers", "my_desk.handlers"))


def test_a_module_with_the_name_of_a_bundled_behaviour_is_refused(here: Path) -> None:
    (here / "my_shop.py").write_text(ROUTER + "NAME = 'echo'\n")

    with pytest.raises(SettingsError, match=r"tempogram\.bot\.behaviours\.echo and my_shop are both named echo"):
        load(("my_shop",))


def test_a_bundled_behaviour_may_be_named_too() -> None:
    assert [each.name for each in load(("tempogram.bot.behaviours.echo",))] == ["echo"]


def test_a_module_with_setup_needs_no_router(here: Path) -> None:
    (here / "my_shop.py").write_text("def setup(dispatcher): ...\n")

    assert [(each.name, each.router) for each in load(("my_shop",))] == [("my_shop", None)]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("my_missing", None, "BEHAVIOURS names 'my_missing', but there is no such module in .* or on Python's path"),
        ("my_desk.missing", None, "BEHAVIOURS names 'my_desk.missing', but there is no such module"),
        ("my-shop", None, "BEHAVIOURS names 'my-shop', which is not a module name"),
        ("my_shop.py", None, "BEHAVIOURS names 'my_shop.py', but there is no such module"),
        ("my_shop", "x = 1", "my_shop has no router; write router = Router()"),
        ("my_shop", "router = 5", "router of my_shop is int; it must be an aiogram Router or return one"),
        ("my_shop", "def router(): pass", "router of my_shop is NoneType; it must be"),
        ("my_shop", "def router():\n    1 / 0", r"router\(\) of my_shop failed: ZeroDivisionError: .* line 2"),
        ("my_shop", ROUTER + "setup = 5", "setup of my_shop is not a function"),
        ("my_shop", ROUTER + "check = {}", "check of my_shop is not a function"),
        ("my_shop", ROUTER + "NAME = 'two words'", "NAME of my_shop is 'two words'; it must have 1 to 64 letters"),
        ("my_shop", "import no_such_library", "my_shop needs the module 'no_such_library', which is not installed"),
        (
            "my_shop",
            "\nraise ValueError('a\\nb')",
            r"my_shop cannot be imported: ValueError: a b \(.*my_shop.py, line 2",
        ),
        ("my_shop", "router = = 5", r"my_shop cannot be imported: invalid syntax \(.*my_shop.py, line 1\)"),
        ("my_shop", "from aiogram import Dispatcher as router", "router of my_shop is a Dispatcher"),
        (
            "my_shop",
            ROUTER + "whole = Router()\nwhole.include_router(router)",
            "the router of my_shop is already included in another router",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_in_one_sentence(
    here: Path, name: str, text: str | None, sentence: str
) -> None:
    if text is not None:
        (here / f"{name}.py").write_text(text + "\n")

    with pytest.raises(SettingsError) as refused:
        load((name,))

    assert re.search(sentence, str(refused.value)), str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["bot", "engine", "api", "storage", "bot.shop"])
def test_a_module_may_have_the_name_of_a_package_inside_tempogram(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # As installed: only the package ``tempogram`` is on the path, and not the folder of its sources.
    monkeypatch.setattr(sys, "path", [each for each in sys.path if Path(each).resolve() != ROOT])
    module = here.joinpath(*name.split(".")).with_suffix(".py")
    module.parent.mkdir(exist_ok=True)
    module.write_text(ROUTER)

    assert [each.router and each.router.name for each in load((name,))] == [name]


@pytest.mark.parametrize("name", ["tempogram", "tempogram.bot"])
def test_a_module_may_not_have_the_name_of_the_program(name: str) -> None:
    with pytest.raises(SettingsError, match=f"BEHAVIOURS names '{name}', but tempogram is this program's own package"):
        load((name,))


def test_a_module_named_twice_is_refused(here: Path) -> None:
    (here / "my_shop.py").write_text(ROUTER)

    with pytest.raises(SettingsError, match="BEHAVIOURS names my_shop twice; name it once"):
        load(("my_shop", "my_shop"))


def test_two_modules_with_one_router_are_refused(here: Path) -> None:
    (here / "my_shop.py").write_text(ROUTER)
    (here / "my_desk.py").write_text("from my_shop import router\n")

    with pytest.raises(SettingsError, match="my_shop and my_desk have the same router"):
        load(("my_shop", "my_desk"))


async def test_a_users_behaviour_is_asked_before_the_bundled_ones(database: Database, clock: Clock) -> None:
    own = Router()

    @own.message()
    async def price(message: Message) -> object:
        return message.answer("seven") if message.text == "how much?" else None

    @own.message(lambda message: message.text == "quiet")
    async def quiet(_: Message) -> None:
        raise AssertionError("the first handler has it")

    async with talk(database, clock, own, generator=ScriptedGenerator(), settings={"echo": {}}) as talking:
        await talking.hears(update("how much?"))

    assert talking.said == ["seven"]


def test_telegram_is_asked_for_the_kinds_of_updates_that_a_handler_is_registered_for() -> None:
    own, ordinary = Router(), Router()

    @own.message_reaction()
    async def reaction(_: MessageReactionUpdated) -> None: ...

    @ordinary.my_chat_member()
    async def member(_: ChatMemberUpdated) -> None: ...

    assert allowed_updates(ordinary.resolve_used_update_types()) == []
    kinds = allowed_updates(own.resolve_used_update_types())
    assert {"message", "callback_query", "my_chat_member", "message_reaction"} <= set(kinds)
    assert "chat_member" not in kinds


async def test_the_behaviour_in_the_readme_works(here: Path, database: Database, clock: Clock) -> None:
    example = files_in((ROOT / "README.md").read_text())["shop.py"]
    (here / "my_readme.py").write_text(example)

    async with talk(database, clock, *load(("my_readme",))) as talking:
        await talking.hears(update("/price"))

    assert len([line for line in example.splitlines() if line]) <= 8
    assert talking.said == ["Seven euros, Anna."]


async def test_the_module_in_the_documentation_works(here: Path, database: Database, clock: Clock) -> None:
    example, _ = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "behaviours.md").read_text(), re.DOTALL)
    (here / "shop.py").write_text(example)
    (shop,) = load(("shop",))

    async with talk(database, clock, shop, settings={"shop": {"currency": "CHF"}}) as talking:
        await talking.hears(update("/price"))

    assert talking.said == ["7 CHF"]
    with pytest.raises(Refusal, match="the settings of shop are refused: currency is 'GBP'; choose from EUR, CHF"):
        shop.check({"currency": "GBP"})
