"""Starts the simulator and the engine as processes of their own, and speaks to the engine as a user would."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from bot.demo.process import EngineProcess

BATCH = 10_000


def token(number: int) -> str:
    return f"{number}:bench-token-{number}"


class Engine(EngineProcess):
    """An engine under load."""

    async def submit(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for start in range(0, len(messages), BATCH):
            answers += await self.call("POST", "/messages/batch", messages[start : start + BATCH])
        refused = [answer for answer in answers if "error" in answer]
        assert not refused, f"{len(refused)} messages were refused, the first: {refused[0]}"
        return answers

    async def drained(self, *, within_s: float) -> bool:
        """Wait until nothing is queued; False if that takes longer."""
        until_s = time.monotonic() + within_s
        while (await self.stats())["total_queued"]:
            if time.monotonic() > until_s:
                return False
            await asyncio.sleep(0.1)
        return True


@asynccontextmanager
async def engine(
    telegram_url: str, tokens: Sequence[str], *, broken: bool = False, **environment: str
) -> AsyncIterator[Engine]:
    """Run an engine on new books until the block ends."""
    with tempfile.TemporaryDirectory() as directory:
        module = "bench.broken_engine" if broken else "bot"
        started = Engine(telegram_url, Path(directory), tokens, environment, module)
        try:
            await started.start()
            yield started
        finally:
            await started.end()
            await started.close()


def accepted(calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the calls that the simulator accepted as messages, in the order of arrival."""
    return [call for call in calls if call["code"] == 200 and call["method"].startswith("send")]


def cpu_seconds(pid: int) -> float | None:
    """Read how much of a processor a process has used; None where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return None
    # The name may hold blanks, and stands in brackets before everything else that is read here.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine() -> str:
    model = platform.processor() or platform.machine()
    return f"Python {platform.python_version()}, {platform.system()} {model}, {os.cpu_count()} cores"


def spread(values: Sequence[float], unit: str, *, digits: int = 3) -> str:
    """Write a median and its range.

    >>> spread([1.0, 3.0, 2.0], "s", digits=1)
    '2.0 s (median of 3, 1.0 to 3.0)'
    """
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} {unit} (median of {len(values)}, {low:.{digits}f} to {high:.{digits}f})"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Checks:
    """Collects what a benchmark found wrong with its own result, so that one run shows everything."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def that(self, holds: bool, sentence: str) -> None:  # noqa: FBT001 - reads as a sentence
        sys.stdout.write(f"  {'ok  ' if holds else 'FAIL'} {sentence}\n")
        if not holds:
            self.failed.append(sentence)


def main(question: str, bench: Callable[[Checks, bool], Coroutine[Any, Any, None]]) -> None:
    """Run a benchmark; status 1 if a check failed. ``--broken`` puts a leaking limiter in place."""
    broken = "--broken" in sys.argv[1:]
    sys.stdout.write(f"{question}\n  {machine()}{', with a limiter broken on purpose' if broken else ''}\n")
    checks = Checks()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bench(checks, broken))
    sys.exit(1 if checks.failed else 0)
