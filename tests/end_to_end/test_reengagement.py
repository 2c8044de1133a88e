"""Users who have gone quiet are written to: the whole program, and a clock on which weeks pass in a moment."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tempogram.bot.behaviours.preferences import TEMPLATES
from tempogram.bot.config.settings import Settings
from tests.end_to_end.quiet_users import BOT_ID, ModelServer, QuietUsers, model_server, quiet_users

HELLO = "Hello {first_name}, how are you?"
BEHAVIOURS: dict[str, Any] = {
    "reengagement": {"zone": "Europe/Berlin", "templates": [HELLO]},
    "echo": {},
}
THE_CLOCK_CHANGES_ON_THE_29TH = "2026-03-23T12:00:00+00:00"
MANY = 40


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


async def test_quiet_users_are_written_to_once_and_an_answer_makes_one_active_again(tmp_path: Path) -> None:
    async with quiet_users(tmp_path, starts=THE_CLOCK_CHANGES_ON_THE_29TH, behaviours=BEHAVIOURS) as world:
        for name in ("Anna", "Boris", "Clara"):
            await world.says(name, "hi")
        await world.says("Clara", "/stop")
        await world.pass_days(3)
        await world.says("Boris", "still here")
        await world.pass_days(5)
        after_a_week = {name: list(world.got(name)) for name in world.users}
        await world.says("Anna", "fine")
        await world.pass_days(8)

        assert after_a_week == {
            "Anna": ["hi", "Hello Anna, how are you?"],
            "Boris": ["hi", "still here"],
            "Clara": ["hi", TEMPLATES["stop"]],
        }
        assert world.got("Anna")[2:] == ["fine", "Hello Anna, how are you?"]
        assert world.got("Boris")[2:] == ["Hello Boris, how are you?"]
        assert world.got("Clara")[2:] == []


async def many_quiet(world: QuietUsers) -> None:
    """Let so many users write, as the database has it a week later."""
    from tempogram.storage.chats import ChatActivity

    for number in range(MANY):
        user = world.users.setdefault(f"User{number}", world.telegram.add_user(f"User{number}"))
        user.says(world.bot, "/start")
        note = ChatActivity(
            bot_id=BOT_ID, chat_id=user.user_id, at_ms=world.calendar(), title=f"User{number}", type="private"
        )
        await world.built.storage.chats.note_activity(note)
    await world.until_sent()


async def all_written(directory: Path, server: ModelServer, **settings: Any) -> tuple[list[str], ModelServer]:
    """Return what users get in the hour that is theirs."""
    async with quiet_users(
        directory,
        starts="2026-06-01T13:40:00+00:00",
        behaviours={"reengagement": BEHAVIOURS["reengagement"], "commands": {"help": "?"}},
        llm_api_url=server.url,
        llm_model="small",
        **settings,
    ) as world:
        await many_quiet(world)
        world.calendar.leap(7 * 86_400_000)
        for _ in range(4):
            world.calendar.leap(15 * 60_000)
            await world.built.front.tasks["tempogram.reengagement"].work()  # type: ignore[misc]
            await world.until_sent()
        return [text for name in world.users for text in world.got(name)], server


async def test_a_model_writes_to_each_once_within_its_budget(tmp_path: Path) -> None:
    async with model_server() as server:
        texts, _ = await all_written(tmp_path, server)

    assert sorted(texts) == sorted(f"written {number}" for number in range(1, MANY + 1))
    assert_budget_kept(server)


@pytest.mark.parametrize(("status", "seconds"), [(500, 0.0), (200, 5.0)], ids=["failing", "slow"])
async def test_while_the_model_fails_or_is_slow_templates_are_sent_and_its_budget_is_kept(
    tmp_path: Path, status: int, seconds: float
) -> None:
    async with model_server() as server:
        server.status, server.seconds = status, seconds
        texts, _ = await all_written(tmp_path, server, llm_timeout=1.0)

    assert sorted(texts) == sorted(HELLO.format(first_name=f"User{number}") for number in range(MANY))
    assert_budget_kept(server)


def assert_budget_kept(server: ModelServer) -> None:
    apart_s = [later - earlier for earlier, later in pairwise(server.began_s)]
    assert server.at_once_max <= 5
    assert len(server.began_s) >= 5
    assert sum(apart_s) / len(apart_s) >= 0.19  # 200 ms apart, on average: each is on its way for some moment
