"""A first start, with nothing set; and a start into a world that is not as it should be."""

from __future__ import annotations

import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bot.simulator.client import RunningSimulator, running_simulator
from tests.end_to_end.program import TOKEN, Program, program, update

SECRET = TOKEN.partition(":")[2]


async def test_without_a_token_a_simulated_telegram_starts_and_its_users_get_answers(tmp_path: Path) -> None:
    async with program(tmp_path, "", BOT_TOKENS="") as tempogram:
        url = re.findall(r"a simulated Telegram runs at (http://[0-9.:]+)", tempogram.output.read_text())[0]
        telegram = Simulated(url, tempogram.session)
        await tempogram.until(lambda: telegram.has_accepted(3), within_s=20)
        violations = (await telegram.report())["violations"]
        status = await tempogram.end()

    assert not any(violations.values())
    assert status == 0
    assert "Traceback" not in tempogram.output.read_text()


async def test_without_an_admin_token_one_is_made_and_shown_once(tmp_path: Path) -> None:
    async with running_simulator() as telegram, program(tmp_path, telegram.url, ADMIN_TOKEN="") as tempogram:
        path = tmp_path / "data" / "admin_token"
        token = path.read_text().strip()
        await tempogram.end()
        await tempogram.start()
        status, _ = await tempogram.call("GET", "/queue/stats", headers={"Authorization": f"Bearer {token}"})
        without, _ = await tempogram.call("GET", "/queue/stats", headers={"Authorization": ""})

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tempogram.output.read_text().count(token) == 1
    assert (status, without) == (200, 401)


@pytest.fixture
async def telegram() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(any_webhook_url=True) as telegram:
        yield telegram


async def test_a_webhook_without_its_secret_is_refused_once_telegram_was_given_one(
    tmp_path: Path, telegram: RunningSimulator
) -> None:
    await telegram.add_bots(TOKEN)
    anna = await telegram.add_user("Anna")
    async with program(tmp_path, telegram.url, PUBLIC_URL="http://127.0.0.1:1") as tempogram:
        path = f"/webhook/telegram/{TOKEN}"
        await tempogram.until(lambda: refuses(tempogram, path), within_s=20)
        wrong = {"X-Telegram-Bot-Api-Secret-Token": "wrong"}
        status, answer = await tempogram.call("POST", path, json=update(1, "x"), headers=wrong)

    assert anna
    assert (status, answer["error"]["code"]) == (403, "wrong_secret")
    assert "Traceback" not in tempogram.output.read_text()
    assert SECRET not in tempogram.output.read_text()


async def test_updates_that_telegram_delivers_by_webhook_are_answered(
    tmp_path: Path, telegram: RunningSimulator
) -> None:
    (bot_id,) = await telegram.add_bots(TOKEN)
    anna = await telegram.add_user("Anna")
    reachable = Program(tmp_path, TELEGRAM_API_URL=telegram.url)
    reachable_url = {"PUBLIC_URL": reachable.url, "PORT": str(reachable.port)}
    await reachable.session.close()
    async with program(tmp_path, telegram.url, **reachable_url) as tempogram:
        tempogram.url = reachable.url
        await telegram.say(anna, "hello", bot=bot_id)
        await tempogram.until(lambda: has_said(telegram, "hello"), within_s=20)


async def test_updates_that_are_polled_are_answered(tmp_path: Path, telegram: RunningSimulator) -> None:
    (bot_id,) = await telegram.add_bots(TOKEN)
    anna = await telegram.add_user("Anna")
    async with program(tmp_path, telegram.url) as tempogram:
        await telegram.say(anna, "hello", bot=bot_id)

        await tempogram.until(lambda: has_said(telegram, "hello"), within_s=20)


async def test_a_telegram_that_is_not_there_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    async with program(tmp_path, "http://127.0.0.1:9") as tempogram:
        status, answer = await tempogram.call("POST", "/messages", json={"bot": "42", "chat_id": 5, "text": "x"})
        ended = await tempogram.end()

    output = tempogram.output.read_text()
    assert (status, answer["status"]) == (202, "queued")
    assert ended == 0
    assert "Traceback" not in output
    assert SECRET not in output


BROKEN = {
    "DATABASE_URL": ("nonsense", "DATABASE_URL is no URL"),
    "DATA_DIR": ("/dev/null/data", "DATA_DIR is '/dev/null/data'"),
    "TELEGRAM_GROUP_LIMIT_WINDOW_S": ("inf", "TELEGRAM_GROUP_LIMIT_WINDOW_S is 'inf'"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_cannot_be_used_ends_the_start_with_one_sentence(tmp_path: Path, name: str) -> None:
    value, sentence = BROKEN[name]
    broken = Program(tmp_path, **{"ADMIN_TOKEN": "", name: value})

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


async def refuses(tempogram: Program, path: str) -> bool:
    status, _ = await tempogram.call("POST", path, data=b"{}")
    return bool(status == 403)
