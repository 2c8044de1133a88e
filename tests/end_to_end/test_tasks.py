"""Tasks as a user of aiogram writes them: in a module of ``BEHAVIOURS``, and in a program of one's own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiogram.methods import SendMessage
from structlog.testing import capture_logs

import tempogram
from tempogram import Tempogram, every, send, services, submit, sweep
from tempogram.bot.config.settings import Settings
from tempogram.bot.tasks.declared import forget_all
from tempogram.engine.model.errors import SettingsError
from tests.bot.embedding.started import BOT_ID, Engine, started
from tests.end_to_end.test_telegram_answers import until

NEWS = """
import asyncio
import aiohttp
from aiogram import Router
from aiogram.filters import Command
from tempogram import every

router = Router()
session = None


@router.startup()
async def begin(bot):
    global session, the_bot
    await asyncio.sleep(0.3)
    session, the_bot = aiohttp.ClientSession(), bot


@router.shutdown()
async def end():
    await session.close()


@every("news", 3_600, at_start=True)
async def publish():
    assert not session.closed
    await the_bot.send_message(7, "the news")


@every("blocks", 0.3)
def blocks():
    import time
    time.sleep(5)


@every("raises", 0.3)
async def raises():
    raise ValueError("a table of mine is gone")


@every("hangs", 0.3, timeout=0.2)
async def hangs():
    await asyncio.Event().wait()


@every("works", 0.3)
async def works():
    ran.append(asyncio.get_running_loop().time())


ran = []
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    forget_all()
    yield tmp_path
    forget_all()
    sys.modules.pop("my_news", None)


@asynccontextmanager
async def with_news(here: Path) -> AsyncIterator[tuple[Engine, ModuleType]]:
    (here / "my_news.py").write_text(NEWS)
    async with started(here / "data", behaviours=("my_news",)) as engine:
        yield engine, sys.modules["my_news"]


async def test_a_task_at_the_start_uses_what_the_modules_hooks_have_opened(here: Path) -> None:
    async with with_news(here) as (engine, _):
        await until_shown(engine, "the news")
        row = await engine.built.storage.tasks.row("news")

    assert row is not None
    assert row.last_error == ""


async def test_tasks_that_block_raise_or_hang_cost_the_others_none_of_their_time(here: Path) -> None:
    async with with_news(here) as (engine, module):
        await until_ran(module, 8)
        rows = {row.name: row for row in await engine.built.storage.tasks.rows()}
        module.ran.clear()  # the rest is the end of the program

    assert rows["raises"].last_error == "ValueError: a table of mine is gone"
    assert rows["hangs"].last_error == "it took longer than 0.2 s"
    assert rows["blocks"].run_id
    assert rows["works"].missed == rows["works"].overruns == 0


async def test_a_module_may_have_tasks_and_nothing_else(here: Path) -> None:
    (here / "my_news.py").write_text(
        "from aiogram.methods import SendMessage\n"
        "from tempogram import every, submit\n"
        "@every('news', 3_600, at_start=True)\n"
        "async def publish():\n"
        f"    await submit({BOT_ID}, SendMessage(chat_id=7, text='the news'))\n"
    )
    async with started(here / "data", behaviours=("my_news",)) as engine:
        await until_shown(engine, "the news")


async def test_a_program_of_ones_own_runs_its_tasks_while_its_engine_runs(here: Path) -> None:
    done: list[Any] = []
    ran = asyncio.Event()

    async def called() -> str:
        return "a row"

    @every("own", 0.2)
    async def own() -> None:
        swept = await sweep("round-1", ["a", "b", "c"], check, chunk=2, pause_s=0)
        done.append((swept.total, await services.call("database", "queries", called)))
        ran.set()

    async def check(items: Any) -> None:
        done.append(list(items))

    async with asyncio.timeout(20), Tempogram(data_dir=here / "data", admin_token="a-token-of-16-characters"):
        await ran.wait()

    assert done[:3] == [["a", "b"], ["c"], (3, "a row")]


async def test_a_task_in_a_thread_of_its_own_sends_calls_and_sweeps_by_the_engine(here: Path) -> None:
    threads: list[str] = []

    @every("own", 0.2, own_thread=True)
    async def own() -> None:
        await sweep("round-1", ["a"], check)
        await send(BOT_ID, SendMessage(chat_id=7, text="from a thread"))

    async def check(_: Any) -> None:
        import threading

        threads.append(threading.current_thread().name)

    async with started(here / "data") as engine:
        await until_shown(engine, "from a thread")

    assert threads == ["task own"]


async def test_a_plain_function_sends_by_an_event_loop_of_its_own(here: Path) -> None:
    @every("plain", 0.2)
    def plain() -> None:
        asyncio.run(hand_over())

    async def hand_over() -> None:
        await submit(BOT_ID, SendMessage(chat_id=7, text="from a function"), dedup_key="once")

    async with started(here / "data") as engine:
        await until_shown(engine, "from a function")


async def test_a_task_that_is_declared_after_the_start_is_refused_as_it_would_never_run(here: Path) -> None:
    async with started(here / "data"):
        with pytest.raises(SettingsError, match="task late is declared after the start, so it would never run"):
            every("late", 60, nothing)


async def test_a_sweep_of_what_is_no_list_of_texts_says_so(here: Path) -> None:
    async with started(here / "data"):
        for wrong in ("abc", [1, 2]):
            with pytest.raises(SettingsError, match="must be a list of texts"):
                await sweep("round-1", wrong, nothing)  # type: ignore[arg-type]


async def test_without_an_engine_a_sweep_says_how_to_have_one() -> None:
    with pytest.raises(RuntimeError, match="no engine of Tempogram runs in this program"):
        await tempogram.sweep("round-1", ["a"], nothing)


async def test_the_end_of_a_program_waits_for_a_run_that_is_under_way(here: Path) -> None:
    ended: list[str] = []
    began = asyncio.Event()

    @every("slow", 0.2)
    async def slow() -> None:
        began.set()
        await asyncio.sleep(0.5)
        await send(BOT_ID, SendMessage(chat_id=7, text="at the end"))
        ended.append("sent")

    with capture_logs() as logs:
        async with asyncio.timeout(20), started(here / "data"):
            await began.wait()

    assert ended == ["sent"]
    assert not [log for log in logs if log["log_level"] in {"warning", "error"}]


async def test_the_end_of_ones_own_program_lets_a_run_that_is_under_way_make_its_calls(here: Path) -> None:
    ended: list[Any] = []
    began = asyncio.Event()

    @every("slow", 0.2)
    async def slow() -> None:
        began.set()
        await asyncio.sleep(0.5)
        ended.append(await services.call("database", "queries", asyncio.sleep, 0, "a row"))

    async with asyncio.timeout(20), Tempogram(data_dir=here / "data", admin_token="a-token-of-16-characters"):
        await began.wait()

    assert ended == ["a row"]


async def nothing(*_: Any) -> None: ...


async def until_shown(engine: Engine, text: str) -> None:
    async def is_shown() -> bool:
        return text in engine.shown(7)

    await until(is_shown)


async def until_ran(module: ModuleType, times: int) -> None:
    async def has_run() -> bool:
        return len(module.ran) >= times

    await until(has_run)
