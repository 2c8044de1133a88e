"""What a start does for the bots that it finds: which behaviours they have, and what it says of silent ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import update
from structlog.testing import capture_logs

from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import Settings, load
from tempogram.bot.runtime.lifecycle import running
from tempogram.bot.updates.handler_pool import Job
from tempogram.bot.wiring import Program, program
from tempogram.storage.bots import ChosenBy
from tempogram.storage.database.models import bots
from tempogram.storage.retention import Retention
from tests.bot.fakes import BOT_ID, TOKEN
from tests.engine.desk import turns

ROUTER = "from aiogram import Router\nrouter = Router(name=__name__)\n"
GREETS_THE_OWNER = """
import asyncio
started = []

@router.startup()
async def greet():
    started.append("began")
    await {waiting}
    started.append("ended")
"""
NEEDS_A_CURRENCY = "def check(config):\n    if not config: raise ValueError('there is no currency')\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's directory with modules of its own, which each start imports again."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_shop", "my_desk"):
        (tmp_path / f"{name}.py").write_text(ROUTER)
    (tmp_path / "my_bank.py").write_text(ROUTER + NEEDS_A_CURRENCY)
    yield tmp_path
    forget_modules()


def forget_modules() -> None:
    for name in ("my_shop", "my_desk", "my_bank"):
        sys.modules.pop(name, None)


@asynccontextmanager
async def started(
    *behaviours: str, tokens: tuple[str, ...] = (TOKEN,), simulated: bool = False
) -> AsyncIterator[Program]:
    """Start with these modules; no Telegram answers."""
    forget_modules()
    settings = load(
        behaviours=behaviours,
        bot_tokens=tuple(SecretStr(token) for token in tokens),
        telegram_api_url="http://127.0.0.1:9",
    )
    async with program(settings, simulated=simulated) as built, running(built):
        yield built


async def behaviours_of(*names: str, **others: Any) -> Mapping[str, Any]:
    """Start, and return the behaviours of the bot."""
    async with started(*names, **others) as built:
        return built.front.fleet.registry.registered(BOT_ID).behaviours


async def test_a_bot_of_the_settings_follows_them_from_start_to_start() -> None:
    seen = [await behaviours_of(*names) for names in ((), ("my_shop",), ("my_shop", "my_desk"), ())]

    assert seen == [{}, {"my_shop": {}}, {"my_shop": {}, "my_desk": {}}, {}]


async def test_a_bot_whose_owner_chose_keeps_that_from_start_to_start() -> None:
    async with started("my_shop") as built:
        await built.front.fleet.change(BOT_ID, behaviours={"echo": {}})

    assert await behaviours_of("my_shop", "my_desk") == {"echo": {}}


async def test_a_simulated_bot_greets_and_repeats() -> None:
    assert (await behaviours_of("my_shop", simulated=True)).keys() == {"commands", "echo", "my_shop"}


async def test_a_bot_of_an_earlier_version_keeps_what_it_has_and_the_modules_that_answered_for_it() -> None:
    before = {"commands": {"start": "Hello!"}, "echo": {}}
    async with started() as built:
        await built.storage.bots.set_behaviours(BOT_ID, before, chosen_by=ChosenBy.EARLIER)

    assert await behaviours_of("my_shop") == {"my_shop": {}} | before
    assert await behaviours_of("my_shop", "my_desk") == {"my_shop": {}} | before


async def test_a_bot_of_an_earlier_version_gets_its_modules_though_a_start_named_none_before() -> None:
    async with started() as built:
        await built.storage.bots.set_behaviours(BOT_ID, {"echo": {}}, chosen_by=ChosenBy.EARLIER)

    seen = [await behaviours_of(*names) for names in ((), ("my_shop",))]

    assert seen == [{"echo": {}}, {"my_shop": {}, "echo": {}}]


async def test_a_bot_of_an_earlier_version_follows_the_settings_once_it_is_removed_and_added_again() -> None:
    async with started() as built:
        await built.storage.bots.set_behaviours(BOT_ID, {"echo": {}}, chosen_by=ChosenBy.EARLIER)
    async with started("my_shop") as built:
        await built.front.fleet.remove(BOT_ID, keep_messages=True)

    seen = [await behaviours_of(*names) for names in (("my_shop",), ("my_desk",))]

    assert seen == [{"my_shop": {}}, {"my_desk": {}}]


@pytest.mark.parametrize("waiting", ["asyncio.Event().wait()", "asyncio.sleep(1 / 0)"], ids=["hangs", "fails"])
async def test_a_hook_of_startup_that_hangs_or_fails_holds_up_no_start(here: Path, waiting: str) -> None:
    (here / "my_shop.py").write_text(ROUTER + GREETS_THE_OWNER.format(waiting=waiting))

    async with started("my_shop"):
        await turns()
        seen = list(sys.modules["my_shop"].started)

    assert seen == ["began"]


async def test_a_users_own_bot_of_an_earlier_version_still_gets_no_updates() -> None:
    async with started(tokens=()) as built:
        await built.front.fleet.learn(TOKEN)
        earlier = update(bots).values(behaviours_by=ChosenBy.EARLIER.value)
        await built.storage.ledger._database.write_alone(lambda connection: connection.execute(earlier))

    async with started("my_shop", tokens=()) as built:
        registry = built.front.fleet.registry
        assert (registry.registered(BOT_ID).behaviours, registry.gets_updates(BOT_ID)) == ({}, False)


async def test_a_users_own_bot_that_is_later_named_in_the_settings_has_their_modules() -> None:
    async with started(tokens=()) as built:
        await built.front.fleet.learn(TOKEN)

    assert await behaviours_of("my_shop") == {"my_shop": {}}


async def test_the_start_names_each_bot_that_answers_nothing_and_the_way_out() -> None:
    with capture_logs() as logs:
        assert await behaviours_of() == {}

    (line,) = [each for each in logs if each["event"] == "bot_answers_nothing"]
    assert (line["bot_id"], line["way_out"]) == (
        BOT_ID,
        'choose a behaviour: PATCH /bots/42 {"behaviours": {"commands": {}}}',
    )


async def test_the_start_names_behaviours_that_are_not_loaded_any_more() -> None:
    async with started("my_shop") as built:
        await built.front.fleet.change(BOT_ID, behaviours={"my_shop": {}})

    with capture_logs() as logs:
        await behaviours_of()

    events = {each["event"]: each for each in logs}
    assert (events["behaviour_not_loaded"]["behaviour"], events["behaviour_not_loaded"]["bots"]) == ("my_shop", 1)
    assert events["bot_answers_nothing"]["bot_id"] == BOT_ID


async def test_the_start_names_a_module_that_cannot_be_without_settings() -> None:
    with capture_logs() as logs:
        assert await behaviours_of("my_bank") == {}

    (line,) = [each for each in logs if each["event"] == "behaviour_needs_settings"]
    assert (line["behaviour"], line["reason"]) == (
        "my_bank",
        "the settings of my_bank are refused: there is no currency",
    )


@pytest.mark.parametrize("role", [ProcessRole.RUN, ProcessRole.EMBEDDED])
async def test_old_rows_are_deleted_by_a_program_and_by_one_that_is_embedded(
    monkeypatch: pytest.MonkeyPatch, role: ProcessRole
) -> None:
    purged = asyncio.Event()

    async def purge(_: Retention) -> dict[str, int]:
        purged.set()
        return {}

    monkeypatch.setattr(Retention, "purge", purge)
    async with program(load(telegram_api_url="http://127.0.0.1:9"), role) as built, running(built):
        async with asyncio.timeout(5):
            assert await purged.wait()


async def test_an_embedded_program_runs_no_bot_and_no_module_of_the_settings() -> None:
    settings = load(behaviours=("no_such_module",), bot_tokens=(SecretStr(TOKEN),))

    async with program(settings, ProcessRole.EMBEDDED) as built, running(built):
        assert built.front.fleet.registry.bot_ids == []


async def test_the_start_says_how_many_messages_wait() -> None:
    async with started() as built:
        await built.queue.broker.pause(BOT_ID, paused=True)
        waiting = [
            built.front.updates.composer.compose(BOT_ID, 7, "sendMessage", {"text": text}) for text in ("a", "b")
        ]
        await built.storage.ledger.add(waiting)

    with capture_logs() as events:
        async with started():
            pass

    assert [event["waiting"] for event in events if event["event"] == "started"] == [2]


async def test_an_end_that_is_cut_short_waits_for_nothing() -> None:
    cut_short = asyncio.Event()
    async with program(load(telegram_api_url="http://127.0.0.1:9")) as built:
        with capture_logs() as events:
            async with asyncio.timeout(5), running(built, cut_short=cut_short):
                built.front.updates.pool.submit(Job(BOT_ID, 1, lambda _: asyncio.sleep(600)))
                await turns()
                cut_short.set()

    assert [event["event"] for event in events][-1] == "end_cut_short"
