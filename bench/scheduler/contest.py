"""The four tasks of a contest on a strict service: do they keep their time, and does it ever refuse a call?

Question    Do tasks that share small budgets run when they are due, without ever breaking one, also over a kill?
Workload    ``examples/contest.py`` by ``tempogram run``, and ``examples/fake_x.py`` as a process that counts by itself,
            fails and hangs; all times are 60 times shorter: a poller every 2 s on 10 calls in 15 s, three others every
            3, 3 and 5 s on 15 calls in 15 s. It is killed with SIGKILL and started again. Then the two of 3 s run each
            1 and 1.5 s, which is 28 calls in 15 s where 15 are allowed.
Measured    At the service: each call when it arrived, and what it refused. In the database: when each run began.
Checked     Nothing is refused; no due time is run twice; each task runs within its interval and a half, a restart
            besides; a round is published once, after each of its entries was checked when it was over; and while the
            lookups have no budget left, the poller keeps its time.

    python -m bench.scheduler.contest [--broken]
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.harness import Checks, main
from bench.scheduler.task_log import TaskLog, longest_gap_s
from bench.services.processes import running
from tempogram.bot.demo.process import EngineProcess
from tempogram.simulator.sync_client import Remote, RemoteUser, served_in_thread

FASTER = 60
WINDOW_S = 900 / FASTER
ROUND_S = 8.0
TOKEN = "42:token-of-the-contest-bot"

INTERVALS_S = {
    "twitterPoller": 120 / FASTER,
    "validateEntries": 180 / FASTER,
    "fastDeleteSweep": 180 / FASTER,
    "freezeCoordinator": 300 / FASTER,
}
VARIABLES = {
    "twitterPoller": "TWITTER_POLL_INTERVAL",
    "validateEntries": "VALIDATE_ENTRIES_INTERVAL",
    "fastDeleteSweep": "FAST_DELETE_SWEEP_INTERVAL",
    "freezeCoordinator": "FREEZE_COORDINATOR_INTERVAL",
}
GREEDY_S = {"validateEntries": 60 / FASTER, "fastDeleteSweep": 90 / FASTER}

LIMITS = """
[x]
timeout_s = 0.5
deadline_s = 5
delay_s = 0.1
"""

BEFORE_S, AFTER_S, GREEDY_FOR_S = 8.0, 6.0, 10.0
LEASE_S = 15.0
"""A run that was under way at the kill counts as lost after it, and until then its task does not run."""


@dataclass(slots=True)
class Contest:
    """The program, the service, and who reads the results."""

    directory: Path
    engine: EngineProcess
    x_url: str
    telegram: Remote
    anna: RemoteUser

    @property
    def log(self) -> TaskLog:
        return TaskLog(self.engine.directory / "data" / "tempogram.db")

    async def report(self) -> dict[str, Any]:
        """Return what the service has counted."""
        return dict(await asyncio.to_thread(_read, f"{self.x_url}/-/report"))

    def published(self) -> list[str]:
        shown = (each.get("text", "") for each in self.telegram.messages(self.anna.user_id))
        return [text for text in shown if " is over: " in text]

    def entries(self) -> list[tuple[int, float]]:
        """Return the round of each entry, and when it was checked last."""
        with closing(sqlite3.connect(self.directory / "contest.db", timeout=5)) as table:
            return table.execute("SELECT round, checked FROM entries").fetchall()


@asynccontextmanager
async def contest(*, is_broken: bool = False, faster: float = FASTER) -> AsyncIterator[Contest]:
    """Run the program until the block ends; broken: none of its limits of services holds."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        x_url = await stack.enter_async_context(fake_x(faster))
        telegram = stack.enter_context(served_in_thread())
        bot = telegram.add_bot(TOKEN, "contest_bot")
        anna = telegram.add_user("Anna")
        engine = EngineProcess(telegram.url, directory, [TOKEN], environment(directory, x_url, is_broken=is_broken))
        stack.push_async_callback(engine.close)
        (directory / "data").mkdir()
        (directory / "data" / "services.toml").write_text(LIMITS, encoding="utf-8")
        await engine.start()
        anna.says(bot, "/start")
        yield Contest(directory, engine, x_url, telegram, anna)


def environment(directory: Path, x_url: str, *, is_broken: bool) -> dict[str, str]:
    return {
        "BEHAVIOURS": "examples.contest",
        "CONTEST_DB": str(directory / "contest.db"),
        "X_API": x_url,
        "ROUND_S": str(ROUND_S),
        "X_RATE_LIMIT_WINDOW": str(round(WINDOW_S * 1_000)),
        "RATE_LIMIT_ENABLED": str(not is_broken).lower(),
        **intervals(INTERVALS_S),
    }


def intervals(each_s: dict[str, float]) -> dict[str, str]:
    return {VARIABLES[task]: str(round(seconds * 1_000)) for task, seconds in each_s.items()}


@asynccontextmanager
async def fake_x(faster: float) -> AsyncIterator[str]:
    """Serve X until the block ends; yield its address."""
    async with running("examples.fake_x", "--port", "0", "--faster", str(faster)) as process:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with contest(is_broken=broken) as of:
        await in_time(checks, of, BEFORE_S, "before the kill")
        await killed(checks, of)
        await in_time(checks, of, AFTER_S, "after the restart")
        await greedy(checks, of)
        await kept_budgets(checks, of)
        published(checks, of)


async def in_time(checks: Checks, of: Contest, seconds: float, when: str) -> None:
    """Let it run, and see that each task keeps its interval."""
    began_s = time.time()
    lost = set(of.log.under_way())
    await asyncio.sleep(seconds)
    ended_s = time.time()
    for task, interval_s in INTERVALS_S.items():
        if task in lost:
            continue
        gap_s = longest_gap_s(of.log.runs(task), began_s, ended_s)
        checks.that(
            gap_s <= 1.5 * interval_s, f"{when}: {task}, every {interval_s:g} s, was away for {gap_s:.2f} s at most"
        )


async def killed(checks: Checks, of: Contest) -> None:
    """Kill it between two runs and start it again: each task runs within its interval from then on."""
    for _ in range(200):
        if not of.log.under_way():
            break
        await asyncio.sleep(0.01)
    await of.engine.kill()
    under_way = of.log.under_way()
    await of.engine.start()
    started_s = time.time()
    await asyncio.sleep(max(INTERVALS_S.values()) * 1.2)
    for task, interval_s in INTERVALS_S.items():
        first_s = min((run.began_s for run in of.log.runs(task) if run.began_s > started_s - 5), default=time.time())
        allowed_s = 1.2 * interval_s + (LEASE_S if task in under_way else 0)
        checks.that(
            first_s - started_s <= allowed_s, f"killed: {task} runs {first_s - started_s:+.2f} s from the start"
        )
    checks.that(not of.log.doubles(), f"killed: no due time is run twice {of.log.doubles() or ''}")


async def greedy(checks: Checks, of: Contest) -> None:
    """Let two tasks call oftener than is allowed: they wait for one another, and the poller for none of them."""
    await of.engine.end()
    of.engine.environment = {**of.engine.environment, **intervals(GREEDY_S)}
    await of.engine.start()
    began_s = time.time()
    await asyncio.sleep(GREEDY_FOR_S)
    gap_s = longest_gap_s(of.log.runs("twitterPoller"), began_s, time.time())
    checks.that(gap_s <= 4.0, f"28 lookups for 15 places: the poller was away for {gap_s:.2f} s at most")


async def kept_budgets(checks: Checks, of: Contest) -> None:
    for operation, budget in (await of.report()).items():
        checks.that(
            budget["refused"] == 0,
            f"{operation}: {budget['refused']} of {budget['calls']} calls were refused; at most {budget['most']} in "
            f"{WINDOW_S:g} s",
        )


def published(checks: Checks, of: Contest) -> None:
    texts = of.published()
    rounds = {int(text.split()[1]) for text in texts}
    checks.that(len(texts) == len(rounds) > 0, f"{len(rounds)} rounds were published, in {len(texts)} messages")
    unchecked = [
        number for number, checked_s in of.entries() if number in rounds and checked_s < (number + 1) * ROUND_S
    ]
    checks.that(not unchecked, f"entries of them that were not checked after their round: {len(unchecked)}")


def _read(url: str) -> Any:
    with urlopen(url, timeout=5) as response:  # noqa: S310 - on this machine
        return json.load(response)


if __name__ == "__main__":
    main("Four tasks on small budgets: are they in time, and is a call ever refused?", bench)
