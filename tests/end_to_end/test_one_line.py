"""A user's own aiogram program with the one line, as a process: killed, ended by signals, beside other processes."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from pathlib import Path

import pytest

from tempogram.simulator.limits.faults import Fault
from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.sync_client import Remote, served_in_thread
from tests.end_to_end.own_program import TOKEN, OwnProgram, own_program

WAYS = ("polling", "attached", "asyncio")
WINDOW_S = 3
SLOW_GROUP = SimulatorSettings(private_limit=0, bot_limit=0, group_limit=20, group_window_ms=1_000 * WINDOW_S)
OURS = {"TELEGRAM_GROUP_LIMIT_WINDOW_S": str(WINDOW_S), "TELEGRAM_CHAT_LIMIT": "0"}
MANY = 50
HANGS = Fault(kind="hang", method="sendMessage")


async def until_shown(telegram: Remote, chat_id: int, *texts: str, within_s: float = 40) -> None:
    """Wait until a chat shows exactly these texts of the bot, in any order."""

    async def are_shown() -> bool:
        return sorted(shown(telegram, chat_id)) == sorted(texts)

    try:
        await OwnProgram.until(are_shown, within_s=within_s)
    except AssertionError:
        raise AssertionError(f"shown: {shown(telegram, chat_id)}") from None


def shown(telegram: Remote, chat_id: int) -> list[str]:
    return [each["text"] for each in telegram.messages(chat_id) if each["from"]["is_bot"]]


async def test_what_was_accepted_before_a_kill_is_sent_after_it_and_nothing_twice(tmp_path: Path) -> None:
    with served_in_thread(SLOW_GROUP) as telegram:
        bot = telegram.add_bot(TOKEN)
        group = telegram.add_chat("supergroup", "Friends", bots=[bot])
        anna = telegram.add_user("Anna")
        async with own_program(tmp_path, telegram.url, **OURS) as program:
            anna.says(group, f"many {MANY}")
            await asyncio.to_thread(telegram.wait_for, "sendMessage", times=20, within_s=20)
            await OwnProgram.until(lambda: accepted(tmp_path, MANY), within_s=20)
            await OwnProgram.until(lambda: recorded(tmp_path, 20), within_s=20)  # what is in flight may arrive twice
            await program.kill()
            before = len(shown(telegram, group.chat_id))
            await program.start()
            await until_shown(telegram, group.chat_id, *(f"many {MANY} no. {n}" for n in range(MANY)))
            said = program.output.read_text()

        assert before < MANY
        assert "waiting=0" in said
        assert f"waiting={MANY - before}" in said
        assert telegram.report().broke_no_window


async def accepted(directory: Path, number: int) -> bool:
    """Tell whether the program's ledger has so many messages."""
    return counted(directory, "direction = 'out'") == number


async def recorded(directory: Path, number: int) -> bool:
    """Tell whether so many are recorded as sent."""
    return counted(directory, "status = 'sent'") == number


def counted(directory: Path, which: str) -> int:
    with sqlite3.connect(f"file:{directory}/data/tempogram.db?mode=ro", uri=True) as database:
        (count,) = database.execute(f"SELECT count(*) FROM messages WHERE {which}").fetchone()  # noqa: S608 - ours
    return int(count)


@pytest.mark.parametrize("way", WAYS)
async def test_a_program_ends_by_a_signal_though_handlers_and_calls_wait(tmp_path: Path, way: str) -> None:
    with served_in_thread(SLOW_GROUP) as telegram:
        bot = telegram.add_bot(TOKEN)
        group = telegram.add_chat("supergroup", "Friends", bots=[bot])
        anna = telegram.add_user("Anna")
        async with own_program(tmp_path, telegram.url, way, **OURS | {"TELEGRAM_GROUP_LIMIT_WINDOW_S": "600"}) as own:
            anna.says(group, f"many {MANY}")
            anna.says(bot, "slow")
            await OwnProgram.until(lambda: accepted(tmp_path, MANY), within_s=20)
            own.process.send_signal(signal.SIGINT)
            status = await asyncio.wait_for(own.process.wait(), 30)
            said = own.output.read_text()

    assert status == 0, said
    assert said.index("shutdown hook") < said.index("ended")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("way", "second"), [("polling", signal.SIGINT), ("attached", signal.SIGTERM), ("asyncio", signal.SIGINT)]
)
async def test_a_second_signal_ends_the_end_at_once(tmp_path: Path, way: str, second: signal.Signals) -> None:
    with served_in_thread(SLOW_GROUP) as telegram:
        bot = telegram.add_bot(TOKEN)
        anna = telegram.add_user("Anna")
        async with own_program(tmp_path, telegram.url, way, **OURS | {"TELEGRAM_TIMEOUT": "600"}) as own:
            telegram.order(HANGS)
            anna.says(bot, "hello")
            await OwnProgram.until(lambda: has_called(telegram), within_s=20)
            own.process.send_signal(signal.SIGINT)
            await asyncio.sleep(5)  # longer than handlers have
            assert own.process.returncode is None
            own.process.send_signal(second)
            status = await asyncio.wait_for(own.process.wait(), 30)
            said = own.output.read_text()
            telegram.end_faults()
            await own.start()
            await until_shown(telegram, anna.user_id, "hello")

    assert status == 0, said
    assert "end_cut_short" in said


async def has_called(telegram: Remote) -> bool:
    return bool(telegram.calls("sendMessage"))


async def test_the_end_takes_no_longer_than_the_time_of_a_call(tmp_path: Path) -> None:
    with served_in_thread(SLOW_GROUP) as telegram:
        bot = telegram.add_bot(TOKEN)
        anna = telegram.add_user("Anna")
        async with own_program(tmp_path, telegram.url, **OURS | {"TELEGRAM_TIMEOUT": "2"}) as own:
            telegram.order(HANGS)
            anna.says(bot, "hello")
            await OwnProgram.until(lambda: has_called(telegram), within_s=20)
            own.process.send_signal(signal.SIGTERM)
            status = await asyncio.wait_for(own.process.wait(), 30)

    assert status == 0, own.output.read_text()
