"""Other senders and Tempogram on the same workloads at the same strict Telegram.

Question    How do python-telegram-bot's AIORateLimiter, grammY's throttler with auto-retry, a plain aiogram loop
            with sleep 0.05, and Tempogram do on what real bots have to send?
Workload    Six, in ``peer_workloads``: one bot to 600 private chats; a flooded group in front of 300 private
            chats; 10 urgent messages behind 600; kill -9 at 8 s; a 429 of 5 s on one chat; 50 bots at once.
Measured    At one simulator for the whole run, emptied before each: arrivals, answers, order. CPU seconds of the
            sending process while it works, from its operating system (Linux only).
Not measured  Starting up; memory; several processes of one sender.
Checked     Ours delivers everything by the deadline and breaks no window; no sender claims more than the
            simulator accepted; no sender delivers what was not in the plan. A sender that is not done by the
            deadline is reported as such.

    python -m bench.peers [--deadline-s 60] [--workloads one_bot,fleet] [--peers ptb,ours]

The table and its caveats go to standard output as markdown, the progress to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.clean_exit import run_and_clean_up
from bench.environments import Environments, environments
from bench.harness import Engine, cpu_seconds, engine, machine, token
from bench.peer_workloads import WORKLOADS, Run, Workload
from tempogram.simulator.client import RunningSimulator, running_simulator

PEERS = {
    "ptb": "PTB 22.8 AIORateLimiter",
    "grammy": "grammY 1.46 throttler + auto-retry",
    "aiogram": "aiogram loop, sleep 0.05",
    "ours": "Tempogram",
}
SCRIPTS = {"ptb": "ptb_peer.py", "grammy": "grammy_peer.mjs", "aiogram": "aiogram_peer.py"}
START_TIMEOUT_S = 60
NEVER_GROWS = 1_000_000  # calls into a penalty that only hear what is left of it; by default the second prolongs it
CAVEATS = """\
What favours us: the workloads are of our choosing, and are what Tempogram was built for; the simulator is ours, and
strict (429 at the first message above a window, and 5 s of penalty for a bot, though none that grows), while Telegram
tolerates short bursts. With a lenient one the others use much more of one bot's limit.
What does not: Tempogram writes every message to its ledger first and gets it over HTTP, the others hold
their plan in memory; its CPU seconds are of the whole program (API, ledger, queue, polling its bots), the
others' of a bare sender. Two cores carry the simulator as well.
The others as their manuals say: PTB with `max_retries=20` (its default, 0, loses every message that meets a 429, and
holds no chat) and its group window as the workload's; grammY with its defaults, the group's scaled to the workload's
window, and auto-retry outside the throttler, so that a retry is paced again; the loop obeys `retry_after`, and urgent
messages go round it, as an answer from a handler would. None of the three has priorities or a ledger, nor claims to."""


class Sending(Protocol):
    """A sender at work on one plan."""

    @property
    def pid(self) -> int: ...

    async def done(self) -> int | None:
        """Wait until it has nothing more to send; return how many it says it sent, None if it does not say."""

    async def kill(self) -> None:
        """Kill -9, then let it do what it can to go on."""


@dataclass(slots=True)
class Script:
    """A peer: a script of ``clients/`` that has its plan."""

    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def done(self) -> int | None:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        return int(json.loads(line)["sent"]) if line else None

    async def kill(self) -> None:
        # It keeps no record, so there is nothing to start again with.
        self.process.kill()
        await self.process.wait()


@dataclass(slots=True)
class Ours:
    """``tempogram run``; the plan is submitted over HTTP when each message is due."""

    engine: Engine
    submitting: asyncio.Task[None]

    @property
    def pid(self) -> int:
        assert self.engine.process is not None
        return self.engine.process.pid

    async def done(self) -> int | None:
        await self.submitting
        await self.engine.drained(within_s=3_600)
        return None

    async def kill(self) -> None:
        await self.submitting
        await self.engine.kill()
        await self.engine.start()


@asynccontextmanager
async def script(
    command: list[str], telegram: RunningSimulator, workload: Workload, *, empties: bool = True
) -> AsyncIterator[Script]:
    """Start a peer, wait until it is ready, empty the simulator of what came before, and let the peer go."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24
    )
    assert process.stdin is not None
    assert process.stdout is not None
    plan = {
        "url": telegram.url,
        "tokens": {number: token(number) for number in workload.bots or [1]},
        "group_window_s": workload.group_window_s,
        "messages": [
            {"at_s": one.at_s, "bot": one.bot, "chat_id": one.chat_id, "text": one.text, "urgent": one.urgent}
            for one in workload.plan
        ],
    }
    try:
        process.stdin.write(json.dumps(plan).encode() + b"\n")
        ready = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        assert ready == b"ready\n", f"{command[-1]} did not start"
        if empties:
            await prepare(telegram, workload)
        process.stdin.write(b"go\n")
        yield Script(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def ours(telegram: RunningSimulator, workload: Workload) -> AsyncIterator[Ours]:
    tokens = [token(number) for number in workload.bots]
    window_s, ceiling = f"{workload.group_window_s:g}", "0" if workload.unceiled else "30"
    async with engine(
        telegram.url, tokens, TELEGRAM_GROUP_LIMIT_WINDOW_S=window_s, TELEGRAM_GLOBAL_LIMIT=ceiling
    ) as tempogram:
        await prepare(telegram, workload)
        submitting = asyncio.create_task(submit(tempogram, workload))
        try:
            yield Ours(tempogram, submitting)
        finally:
            submitting.cancel()


async def submit(tempogram: Engine, workload: Workload) -> None:
    start_s = time.monotonic()
    for at_s in sorted({one.at_s for one in workload.plan}):
        await asyncio.sleep(max(0.0, start_s + at_s - time.monotonic()))
        due = [one for one in workload.plan if one.at_s == at_s]
        await tempogram.submit(
            [{"bot": str(one.bot), "chat_id": one.chat_id, "text": one.text, "priority": one.priority} for one in due]
        )


async def prepare(telegram: RunningSimulator, workload: Workload) -> None:
    """Empty the simulator of what came before, starting up included."""
    await telegram.reset()
    await telegram.change(group_window_ms=round(workload.group_window_s * 1_000))
    if workload.faults:
        await telegram.order(*workload.faults)


async def measure(sending: Sending, telegram: RunningSimulator, workload: Workload, deadline_s: float) -> Run:
    """Watch one sender at one workload."""
    start_ms, cpu_s = time.time() * 1_000, cpu_seconds(sending.pid)
    claimed: int | None = None
    is_done = False
    try:
        async with asyncio.timeout(deadline_s):
            if workload.kill_at_s is not None:
                await asyncio.sleep(workload.kill_at_s)
                await sending.kill()
            claimed = await sending.done()
            is_done = True
    except TimeoutError:
        pass
    used_s = None if cpu_s is None or workload.kill_at_s is not None else cpu_seconds(sending.pid)
    return Run(
        planned=workload.plan,
        calls=await telegram.calls(),
        report=await telegram.report(),
        start_ms=start_ms,
        done=is_done,
        deadline_s=deadline_s,
        claimed=claimed,
        cpu_s=None if used_s is None or cpu_s is None else used_s - cpu_s,
    )


async def bench(options: argparse.Namespace) -> list[str]:
    """Run everything, print the table, and return what was found wrong with the result."""
    peers = [name for name in PEERS if name in options.peers.split(",")]
    workloads = [one for one in WORKLOADS if one.name in options.workloads.split(",")]
    wrong: list[str] = []
    rows = []
    async with AsyncExitStack() as stack:
        places = await stack.enter_async_context(environments()) if set(peers) - {"ours", "aiogram"} else None
        telegram = await stack.enter_async_context(running_simulator(penalty_patience=NEVER_GROWS))
        for workload in workloads:
            cells = []
            for name in peers:
                run = await one_run(name, places, telegram, workload, options.deadline_s)
                cells.append(workload.cell(run))
                wrong += [f"{workload.name}, {name}: {sentence}" for sentence in faulty(run, name, workload)]
                note(f"{workload.name:16} {name:8} {cells[-1]}")
            rows.append([workload.title, workload.ideal, *cells])
    print(table(["workload", "ideal", *(PEERS[name] for name in peers)], rows))
    print(f"\n{machine()}; deadline {options.deadline_s:g} s.\n\n{CAVEATS}")
    return wrong


async def one_run(
    name: str, places: Environments | None, telegram: RunningSimulator, workload: Workload, deadline_s: float
) -> Run:
    if name == "ours":
        async with ours(telegram, workload) as sending:
            return await measure(sending, telegram, workload, deadline_s)
    command = [sys.executable, str(Path(__file__).parent / "clients" / SCRIPTS[name])]
    if places is not None:
        command = places.command(SCRIPTS[name])
    async with script(command, telegram, workload) as peer:
        return await measure(peer, telegram, workload, deadline_s)


def faulty(run: Run, name: str, workload: Workload) -> list[str]:
    """Say what cannot be, whichever sender is better."""
    planned = {(one.bot, one.chat_id, one.text) for one in workload.plan}
    found = []
    if strangers := {run.key(call) for call in run.accepted} - planned:
        found.append(f"{len(strangers)} deliveries that were not planned")
    if run.claimed is not None and run.claimed > len(run.accepted):
        found.append(f"claims {run.claimed}, the simulator accepted {len(run.accepted)}")
    if name == "ours" and not run.done:
        found.append("not done by the deadline")
    if name == "ours" and run.lost:
        found.append(f"{run.lost} lost")
    if name == "ours" and not run.report.broke_no_window:
        found.append(f"windows broken: {run.report.violations}")
    return found


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers")
    parser.add_argument("--deadline-s", type=float, default=60, help="for each sender and workload")
    parser.add_argument("--workloads", default=",".join(one.name for one in WORKLOADS))
    parser.add_argument("--peers", default=",".join(PEERS))
    options = parser.parse_args()
    wrong = run_and_clean_up(bench(options))
    for sentence in wrong:
        note(f"FAIL {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
