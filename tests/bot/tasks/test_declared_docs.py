"""The examples of docs/tasks.md, each run as it stands there, and the sentences that it explains."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import tempogram
from tempogram.bot.tasks.declared import TaskOptions, declared, every, forget_all
from tempogram.engine.model.errors import EngineError
from tempogram.engine.scheduler.sweep import SweepOverdue
from tempogram.engine.scheduler.times import Cron, Every
from tests import ROOT
from tests.bot.embedding.started import started
from tests.end_to_end.test_telegram_answers import until

PAGE = (ROOT / "docs" / "tasks.md").read_text()
SYMPTOMS = re.findall(r"^\| (.+?) \| .+? \| .+? \|$", PAGE.partition("## Troubleshooting")[2], re.MULTILINE)


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _nothing_declared() -> Iterator[None]:
    forget_all()
    yield
    forget_all()
    sys.modules.pop("prices", None)


@pytest.fixture
async def prices_url() -> AsyncIterator[str]:
    async def price(_: web.Request) -> web.Response:
        return web.Response(text="7 euros")

    app = web.Application()
    app.router.add_get("/", price)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


def test_the_first_example_declares_its_tasks() -> None:
    exec(examples("python")[0], {"__name__": "prices"})  # noqa: S102 - our own page

    assert {task.name: task.times for task in declared({})} == {
        "prices": Every(120_000),
        "report": Cron("30 8 * * MON-FRI", "Europe/Berlin"),
    }


async def test_the_example_of_a_module_tells_prices_by_the_bot_of_its_hooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prices_url: str
) -> None:
    (tmp_path / "prices.py").write_text(examples("python module")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PRICES_INTERVAL", "200")
    monkeypatch.setenv("PRICES_URL", prices_url)

    async with started(tmp_path / "data", behaviours=("prices",)) as engine:

        async def is_shown() -> bool:
            return "Pizza costs 7 euros today." in engine.shown(7)

        await until(is_shown)


async def test_the_example_of_a_sweep_validates_all_before_it_publishes(tmp_path: Path) -> None:
    done: list[Any] = []

    async def validate(entries: list[str]) -> None:
        done.append(len(entries))

    async def publish(number: int) -> None:
        done.append(f"round {number}")

    names: dict[str, Any] = {"validate": validate, "publish": publish}
    exec(examples("python")[1], names)  # noqa: S102 - our own page

    async with started(tmp_path / "data"):
        await names["freeze_round"](7, [str(number) for number in range(60)])
        await names["freeze_round"](7, [str(number) for number in range(60)])

    assert done == [50, 10, "round 7", "round 7"]


def test_every_option_is_in_the_page() -> None:
    assert [option for option in TaskOptions.__annotations__ if f"`{option}`" not in PAGE] == []


async def test_each_sentence_that_a_user_may_meet_is_explained(tmp_path: Path) -> None:
    said = [str(SweepOverdue("freeze-7", 50, 120))]

    async def work() -> None: ...

    async def other() -> None: ...

    every("prices", 120, work, env="PRICES_INTERVAL")
    for declare in (lambda: every("prices", 60, other), lambda: declared({"PRICES_INTERVAL": "2m"})):
        with pytest.raises(EngineError) as refused:
            declare()
        said.append(str(refused.value))
    async with started(tmp_path / "data"):
        with pytest.raises(EngineError) as late:
            tempogram.every("late", 60, work)
        said.append(str(late.value))

    assert [sentence for sentence in said if not is_explained(sentence)] == []


def is_explained(sentence: str) -> bool:
    """Tell whether a row begins with a sentence of this form: names may differ, … is anything."""
    shown = [quoted for symptom in SYMPTOMS for quoted in re.findall(r"`([^`]+)`", symptom)]
    forms = (re.sub(r"(?<![a-z])prices(?![a-z])", r"\\w+", re.escape(each).replace("…", ".+")) for each in shown)
    return any(re.fullmatch(form, sentence) for form in forms)
