"""The contest: what its tasks do with a service that deletes tweets, and what a kill does to the end of a round."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web

from examples.fake_x import Budget, FakeX
from tempogram.bot.tasks.declared import declared, forget_all
from tempogram.engine.scheduler.plan import Budget as Allowed
from tempogram.engine.scheduler.plan import plan
from tempogram.engine.scheduler.times import Every
from tests.bot.embedding.started import BOT_ID, Engine, started
from tests.examples.conftest import Environment

ANNA_ID = 7
WINDOW_S = 900.0


@dataclass
class Running:
    """The module, its engine, and X."""

    module: ModuleType
    engine: Engine
    x: FakeX


@pytest.fixture(autouse=True)
def _declared_anew() -> Iterator[None]:
    forget_all()
    sys.modules.pop("examples.contest", None)
    yield
    forget_all()
    sys.modules.pop("examples.contest", None)


@pytest.fixture
async def contest(tmp_path: Path, environment: Environment) -> AsyncIterator[Running]:
    async with served(FakeX(fails=0, hangs=0, tweet_every_s=1_000)) as (x, url):
        environment({"CONTEST_DB": str(tmp_path / "contest.db"), "X_API": url})
        async with started(tmp_path / "data", behaviours=("examples.contest",)) as engine:
            yield Running(sys.modules["examples.contest"], engine, x)


@asynccontextmanager
async def served(x: FakeX) -> AsyncIterator[tuple[FakeX, str]]:
    runner = web.AppRunner(x.app())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield x, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def live(x: FakeX, *tweets: int) -> None:
    x.tweets = {str(tweet): float("inf") for tweet in tweets}


async def test_a_tweet_takes_part_from_when_it_is_polled_until_it_is_found_deleted(contest: Running) -> None:
    live(contest.x, 1, 2, 3)
    await contest.module.poll()
    del contest.x.tweets["2"]
    await contest.module.sweep_fast_deletes()

    assert contest.module.contest.left(contest.module.round_now()) == 2


async def test_a_round_is_published_once_after_all_its_entries_were_checked(contest: Running) -> None:
    live(contest.x, *range(1, 121))
    contest.module.contest.enter(contest.x.tweets, 1)
    with contest.module.contest.table() as db:
        db.execute("INSERT INTO subscribers VALUES (?, ?)", (BOT_ID, ANNA_ID))
    del contest.x.tweets["77"]

    await contest.module.freeze()
    await contest.module.freeze()
    await contest.engine.until_sent()

    assert contest.engine.shown(ANNA_ID) == ["Round 1 is over: 119 entries are left."]
    assert len(contest.x.budgets["tweet_lookup"].arrived) == 3


async def test_a_freeze_that_was_cut_off_goes_on_with_the_chunk_in_which_it_was(
    contest: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(contest.x, *range(1, 121))
    contest.module.contest.enter(contest.x.tweets, 1)
    look_up, checked = contest.module.look_up, []

    async def cut_off(tweets: list[str]) -> None:
        checked.append(tweets[0])
        if len(checked) == 2:
            raise ConnectionError("killed")
        await look_up(tweets)

    monkeypatch.setattr(contest.module, "look_up", cut_off)
    with pytest.raises(ConnectionError):
        await contest.module.freeze()
    await contest.module.freeze()

    assert checked == ["1", "51", "51", "101"]


def test_the_tasks_of_the_contest_fit_into_the_budgets_of_x(environment: Environment) -> None:
    import examples.contest  # noqa: F401 - it declares them

    tasks = {task.name: task for task in declared({})}
    allowed = {
        name: Allowed(name=name, count=count, window_ms=900_000)
        for name, count in (("x:mentions", 10), ("x:tweet_lookup", 15))
    }

    assert {name: task.times for name, task in tasks.items()} == {
        "twitterPoller": Every(120_000),
        "validateEntries": Every(180_000),
        "fastDeleteSweep": Every(180_000),
        "freezeCoordinator": Every(300_000),
    }
    assert [
        (planned.budget.name, float(planned.calls), planned.holds) for planned in plan(tasks.values(), allowed)
    ] == [
        ("x:mentions", 7.5, True),
        ("x:tweet_lookup", 13.0, True),
    ]


def test_the_environment_changes_the_intervals_of_the_contest() -> None:
    import examples.contest  # noqa: F401 - it declares them

    changed = {
        task.name: task.times
        for task in declared(
            {
                "TWITTER_POLL_INTERVAL": "60000",
                "VALIDATE_ENTRIES_INTERVAL": "61000",
                "FAST_DELETE_SWEEP_INTERVAL": "62000",
            }
        )
    }

    assert changed == {
        "twitterPoller": Every(60_000),
        "validateEntries": Every(61_000),
        "fastDeleteSweep": Every(62_000),
        "freezeCoordinator": Every(300_000),
    }


def test_the_fake_x_refuses_what_is_beyond_its_count_in_any_window() -> None:
    budget = Budget(2, WINDOW_S)

    assert [budget.take(at_s) for at_s in (0, 800, 899, 901, 1_802)] == [True, True, False, False, True]
    assert budget.refused == 2
    assert budget.headers(1_802)["x-rate-limit-remaining"] == "1"
