"""600 messages of an ordinary aiogram program: what does the one line change?

Question    Does `async with Tempogram():` let a program use the limit, without a 429 and without a loss over a kill -9,
            and what does that cost in CPU, beside the loop with a pause that many programs have?
Workload    600 private chats, one bot. With the one line all calls are made at once and awaited; the loop sends,
            obeys a 429, sleeps 0.05 s. Each again with a kill -9 of the program at 8 s; with the one line it is started
            again then, and sends nothing new.
Measured    At one simulator, emptied before each: arrivals, answers; the CPU of the program while it sends.
Not measured  Starting up. The loop has no ledger, and the CPU of the one line is that of the whole engine.
Checked     With the one line: nothing lost, no 429, no window broken, 97 % of the limit used; after the kill nothing
            lost, and no more arrived twice than were under way.

    python -m bench.one_line
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.door import ONE_BOT, UNDER_WAY_MAX
from bench.harness import Checks, main
from bench.peer_workloads import WORKLOADS, Run, Workload
from bench.peers import NEVER_GROWS, Script, measure, script
from tempogram.simulator.client import RunningSimulator, running_simulator

CLIENTS = Path(__file__).parent / "clients"
KILLED = next(one for one in WORKLOADS if one.name == "killed")
AFTERWARDS = replace(ONE_BOT, plan=[])
DEADLINE_S = 90
USED_SHARE = 0.97


@dataclass(slots=True)
class StartedAgain(Script):
    """A program that keeps a ledger: after a kill it is started again, and goes on."""

    command: list[str]
    telegram: RunningSimulator

    async def kill(self) -> None:
        await super(StartedAgain, self).kill()
        async with script(self.command, self.telegram, AFTERWARDS, empties=False) as again:
            await again.done()


@asynccontextmanager
async def with_one_line(telegram: RunningSimulator, workload: Workload) -> AsyncIterator[StartedAgain]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(CLIENTS / "one_line.py"), folder]
        async with script(command, telegram, workload) as program:
            yield StartedAgain(program.process, command, telegram)


def used(run: Run) -> float:
    return run.use_in(run.took_s)


def said(name: str, run: Run) -> None:
    cpu = "" if run.cpu_s is None else f", {run.cpu_s:.2f} s of CPU"
    twice = f", {run.report.duplicates} twice" if run.report.duplicates else ""
    print(f"  {name}: {run.took_s:.1f} s, {used(run):.1%} of the limit,", end=" ")
    print(f"{run.throttled} x 429, {run.lost} lost{twice}{cpu}")


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - the harness hands it on
    loop = [sys.executable, str(CLIENTS / "aiogram_peer.py")]
    async with running_simulator(penalty_patience=NEVER_GROWS) as telegram:
        for what, workload in (("", ONE_BOT), (", kill -9 at 8 s", KILLED)):
            async with script(loop, telegram, workload) as program:
                said(f"loop{what}", await measure(program, telegram, workload, DEADLINE_S))
            async with with_one_line(telegram, workload) as program:
                run = await measure(program, telegram, workload, DEADLINE_S)
            said(f"one line{what}", run)
            check(checks, run, is_killed=bool(what))


def check(checks: Checks, run: Run, *, is_killed: bool) -> None:
    checks.that(run.lost == 0, f"{run.lost} lost")
    checks.that(run.throttled == 0, f"{run.throttled} x 429")
    checks.that(run.report.broke_no_window, f"no window broken: {run.report.violations}")
    twice = run.report.duplicates
    checks.that(twice <= (UNDER_WAY_MAX if is_killed else 0), f"{twice} arrived twice")
    if not is_killed:
        checks.that(used(run) >= USED_SHARE, f"{used(run):.1%} of the limit used, at least {USED_SHARE:.0%}")


if __name__ == "__main__":
    main("600 messages of an ordinary aiogram program: what does the one line change?", bench)
