"""Does re-engagement write to exactly the right users on exactly the right local dates, for a year, whatever dies?

Question    Is each user written to once on a local date on which it is their turn, and on no other, in all zones, over
            both changes of clocks, while processes are killed and stay away for hours?
Workload    2,000 accounts over all zones for a year of virtual time: they write, are sent news, opt out, block the bot
            and move to other zones. Each quarter of an hour the behaviour's task runs over a real SQLite database; of
            the runs that have something to do three in ten are killed before or after a write, and half of these are
            not started again for up to three hours.
Measured    The messages in the ledger.
Checked     Against a rule that asks account by account, by arithmetic with dates: after a run that ended, all whose
            turn it was have their message; none has one whose turn it was not at an instant at which a process ran;
            none has two for one local date.
Not measured  A process that is really killed: tests/end_to_end/test_reengagement.py does that.

    python -m bench.reengagement.year [--seed 1] [--accounts 2000] [--days 365] [--start 2026-01-01]
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from bench.clean_exit import run_and_clean_up
from bench.harness import Checks, machine
from bench.reengagement.accounts import Account, Life, instants, is_due, local_date
from bench.reengagement.process import Processes
from tempogram.storage.database.database import Database

KILLED_SHARE = 0.3
"""Of the runs that have something to do."""
POINTS, POINTS_OF_ONE = 8, 4
"""Where a run may be killed: before and after each question and each write, of the run and of each message."""
AWAY_MAX = 12
"""Quarters of an hour for which nothing runs after a kill."""

Written = tuple[int, str]
"""A chat and a local date."""


@dataclass(slots=True)
class Outcome:
    """What came of it. Each list has up to a few examples of what must not be."""

    runs: int = 0
    kills: int = 0
    away: int = 0
    written: int = 0
    again: int = 0
    after_a_kill: int = 0
    twice: list[Written] = field(default_factory=list)
    missing: list[Written] = field(default_factory=list)
    wrong: list[Written] = field(default_factory=list)


class Year:
    """Lives through the time, a quarter of an hour at a step."""

    def __init__(self, life: Life, processes: Processes, *, seed: int) -> None:
        self._life = life
        self._processes = processes
        self._random = random.Random(seed)
        self._done: set[Written] = set()
        self._claimable: set[Written] = set()
        self._away_for = 0
        self.outcome = Outcome()

    async def step(self, now_ms: int) -> None:
        """Let a process run at an instant, or die in it, and judge what is in the ledger then."""
        self._processes.store(self._life.until(now_ms))
        due = {(each.chat_id, local_date(each, now_ms)) for each in self._accounts if is_due(each, now_ms)} - self._done
        if self._away_for:
            self._away_for -= 1
            self.outcome.away += bool(due)
            return
        has_ended = await self._run(len(due))
        self._judge(due, has_ended=has_ended)
        self._sent(now_ms)

    async def _run(self, due: int) -> bool:
        """Run the task until a process has ended it; False if all were killed and none started again."""
        while due and self._random.random() < KILLED_SHARE:
            if not await self._processes.run_and_kill(self._random.randrange(POINTS + POINTS_OF_ONE * due)):
                break
            self.outcome.kills += 1
            if self._random.random() < 0.5:
                self._away_for = self._random.randint(1, AWAY_MAX)
                return False
        await self._processes.run()
        self.outcome.runs += 1
        return True

    def _judge(self, due: set[Written], *, has_ended: bool) -> None:
        written = self._processes.submitted()
        new = set(written)
        self.outcome.written += len(written)
        self.outcome.twice += [each for each in written if each in self._done or written.count(each) > 1]
        if has_ended:
            self.outcome.missing += sorted(due - new)
        self._claimable |= due
        self.outcome.wrong += sorted(new - self._claimable)
        self.outcome.after_a_kill += len(new - due)
        self._done |= new
        self._new = new

    def _sent(self, now_ms: int) -> None:
        """Let the messages arrive at once."""
        got = [self._life.accounts[chat_id] for chat_id, _ in self._new]
        for account in got:
            account.got_ms = now_ms
        self._processes.store(got)

    @property
    def _accounts(self) -> Iterable[Account]:
        return self._life.accounts.values()


async def lived(*, accounts: int, start: str, days: int, seed: int, progress: bool = False) -> Outcome:
    """Live through so many days, and return what came of it."""
    now_ms, began_s = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "year.db"
        database = await Database.open(f"sqlite+aiosqlite:///{file}")
        try:
            steps = list(instants(start, days))
            life = Life(accounts, start_ms=steps[0], seed=seed)
            processes = Processes(database, file, lambda: now_ms)
            processes.store(life.accounts.values())
            year = Year(life, processes, seed=seed)
            for number, now_ms in enumerate(steps, start=1):
                await year.step(now_ms)
                if progress and number % (7 * 96) == 0:
                    sys.stdout.write(
                        f"\r  day {number // 96}: {year.outcome.written:,} messages, {time.monotonic() - began_s:.0f} s"
                    )
                    sys.stdout.flush()
            year.outcome.again = processes.again
            return year.outcome
        finally:
            await database.close()


def check(checks: Checks, outcome: Outcome) -> None:
    checks.that(outcome.written > 0 and outcome.kills > 0, "there was something to do, and something was killed")
    checks.that(not outcome.missing, f"none is missing whose turn it was when a run ended {_some(outcome.missing)}")
    checks.that(not outcome.wrong, f"none was written to whose turn it was not {_some(outcome.wrong)}")
    checks.that(not outcome.twice, f"none was written to twice on a local date {_some(outcome.twice)}")


def _some(found: list[Written]) -> str:
    return f"({len(found)}, such as {found[:3]})" if found else "(0)"


async def bench(checks: Checks, options: argparse.Namespace) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    outcome = await lived(
        accounts=options.accounts, start=options.start, days=options.days, seed=options.seed, progress=True
    )
    sys.stdout.write(
        f"\n  {outcome.runs:,} runs, {outcome.kills:,} kills, {outcome.away:,} hours that were missed in part\n"
        f"  {outcome.written:,} messages, {outcome.after_a_kill:,} of them claimed before a kill, "
        f"{outcome.again:,} submitted again and known\n"
    )
    check(checks, outcome)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--start", default="2026-01-01")
    sys.stdout.write(f"{(__doc__ or '').splitlines()[0]}\n  {machine()}\n")
    found = Checks()
    run_and_clean_up(bench(found, parser.parse_args()))
    sys.exit(1 if found.failed else 0)
