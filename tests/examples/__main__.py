"""Kills each example again and again in the middle of its conversation: ``python -m tests.examples --kills 3``.

With ``--by-one-line`` the example is its author's own program: each kill cuts another conversation, and what was
accepted before it must arrive after the next start.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

from tests.examples.examples import EXAMPLES, ONCE, Example
from tests.examples.kills import difference, held_over_kills
from tests.examples.one_line import cut_by_kill
from tests.examples.plain import held_plainly

Judge: TypeAlias = Callable[[Example, Path, int, int], Coroutine[Any, Any, str]]


def main() -> int:
    """Return 1 if an example lost or repeated something."""
    parser = argparse.ArgumentParser(prog="python -m tests.examples", description=__doc__)
    parser.add_argument("names", nargs="*", help="examples such as shop, or shop-group; none: all, each in one place")
    parser.add_argument("--kills", type=int, default=3, help="in each conversation")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000))
    parser.add_argument("--by-one-line", action="store_true", help="as its author's program, with one line more")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the examples write their own logs
    chosen = [each for each in EXAMPLES if {each.name, str(each)} & set(asked.names)] if asked.names else ONCE
    print(f"--seed {asked.seed}")
    judge = verdict_on_cuts if asked.by_one_line else verdict_on
    verdicts = [run(judge, example, asked.kills, asked.seed) for example in chosen]
    return int(not all(verdicts))


def run(judge: Judge, example: Example, kills: int, seed: int) -> bool:
    """Print a line, and return whether all is well."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            verdict = asyncio.run(judge(example, Path(directory), kills, seed))
        except (TimeoutError, AssertionError) as error:
            verdict = f"{type(error).__name__}: {error}"
    print(f"{example!s:24}{verdict}", flush=True)
    return verdict.startswith("kept")


async def verdict_on(example: Example, directory: Path, kills: int, seed: int) -> str:
    """Hold the conversation without and with kills, and say what differs."""
    plainly = await held_plainly(example, directory, os.environ.update)
    after_steps = sorted(random.Random(seed).sample(range(1, plainly.steps + 1), min(kills, plainly.steps)))
    transcript, killer = await held_over_kills(example, directory, after_steps, seed=seed)
    found = difference(plainly, transcript, kills=killer.kills)
    sentence = f"{killer.kills} kills after the steps {after_steps}, {len(found.extra)} messages twice"
    return f"kept    {sentence}" if found.is_allowed else f"BROKEN  {sentence}: {found}"


async def verdict_on_cuts(example: Example, directory: Path, kills: int, seed: int) -> str:
    """Cut some conversations by a kill each, and say what was lost of what had been accepted."""
    plainly = await held_plainly(example, directory, os.environ.update)
    after_steps = sorted(random.Random(seed).sample(range(1, plainly.steps + 1), min(kills, plainly.steps)))
    cuts = [await cut_by_kill(example, directory, step, seed=seed) for step in after_steps]
    accepted, twice = sum(cut.accepted for cut in cuts), sum(cut.twice for cut in cuts)
    sentence = f"{len(cuts)} kills after the steps {after_steps}, {accepted} accepted, {twice} messages twice"
    broken = [cut for cut in cuts if not cut.is_allowed]
    return f"BROKEN  {sentence}: {broken}" if broken else f"kept    {sentence}"


if __name__ == "__main__":
    sys.exit(main())
