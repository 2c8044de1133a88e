"""A first start, with nothing set; and a start into a world that is not as it should be."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import aiohttp
import pytest

from tempogram.bot.runtime.main import SIMULATED_TOKENS
from tempogram.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.program import TOKEN, FreshProgram, program, started, update

WRONG = {"X-Telegram-Bot-Api-Secret-Token": "wrong"}


async def test_a_start_without_a_token_answers_the_users_of_a_simulated_telegram(tmp_path: Path) -> None:
    async with started(FreshProgram(tmp_path, TELEGRAM_API_URL="", BOT_TOKENS="")) as tempogram:
        url = re.findall(r"a simulated Telegram runs at (http://[0-9.:]+)", tempogram.output.read_text())[0]
        telegram = Simulated(url, tempogram.session)
        await tempogram.until(lambda: telegram.has_accepted(3), within_s=20)
        # Its updates came by webhook, so each bore a secret; this one does not.
        path = f"/webhook/telegram/{SIMULATED_TOKENS[0]}"
        forged = [await tempogram.call("POST", path, json=update(10**9, "x"), headers=bears) for bears in ({}, WRONG)]
        violations = (await telegram.report())["violations"]
        status = await tempogram.end()

    output = tempogram.output.read_text()
    assert not any(violations.values())
    assert [(code, answer["error"]["code"]) for code, answer in forged] == [(403, "wrong_secret")] * 2
    assert status == 0
    assert "Traceback" not in output
    assert not any(token in output for token in SIMULATED_TOKENS)
    assert not (tmp_path / "data" / "simulated" / "simulator").exists()


async def test_polled_updates_are_answered(tmp_path: Path) -> None:
    async with running_simulator() as telegram, program(tmp_path, telegram.url) as tempogram:
        (bot_id,) = await telegram.add_bots(TOKEN)
        await telegram.say(await telegram.add_user("Anna"), "hello", bot=bot_id)

        await tempogram.until(lambda: has_said(telegram, "hello"), within_s=20)


async def test_a_start_without_telegram_accepts_messages_and_makes_an_admin_token(
    tmp_path: Path,
) -> None:
    async with program(tmp_path, "http://127.0.0.1:9", ADMIN_TOKEN="") as tempogram:
        path = tmp_path / "data" / "admin_token"
        token = path.read_text().strip()
        message = {"bot": "42", "chat_id": 5, "text": "x"}
        made = {"Authorization": f"Bearer {token}"}
        taken, answer = await tempogram.call("POST", "/messages", json=message, headers=made)
        without, _ = await tempogram.call("POST", "/messages", json=message)
        status = await tempogram.end()

    output = tempogram.output.read_text()
    assert (taken, answer["status"], without) == (202, "queued", 401)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert output.count(token) == 1
    assert status == 0
    assert "Traceback" not in output
    assert TOKEN.partition(":")[2] not in output


BROKEN = {
    "DATABASE_URL": ("nonsense", "DATABASE_URL is not a URL"),
    "DATA_DIR": ("/dev/null/data", "DATA_DIR is '/dev/null/data'"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_unusable_directory_or_database_ends_the_start_with_one_sentence(tmp_path: Path, name: str) -> None:
    value, sentence = BROKEN[name]
    broken = FreshProgram(tmp_path, **{"ADMIN_TOKEN": "", name: value})

    process = await broken.spawn()
    status = await process.wait()
    await broken.session.close()

    (line,) = broken.output.read_text().splitlines()
    assert status == 2
    assert line.startswith("tempogram: ")
    assert sentence in line


class Simulated:
    """The simulator that the program started for itself."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def report(self) -> dict[str, dict[str, int]]:
        async with self._session.get(f"{self._url}/_sim/report") as response:
            report: dict[str, dict[str, int]] = await response.json()
            return report

    async def has_accepted(self, messages: int) -> bool:
        accepted: object = (await self.report())["accepted"]
        return isinstance(accepted, int) and accepted >= messages


async def has_said(telegram: RunningSimulator, text: str) -> bool:
    return any(call["text"] == text and call["code"] == 200 for call in await telegram.calls())
