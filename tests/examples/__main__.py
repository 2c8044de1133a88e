"""Kills each example again and again in the middle of its conversation: ``python -m tests.examples --kills 3``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.examples.examples import EXAMPLES, ONCE, Example
from tests.examples.kills import difference, held_over_kills
from tests.examples.plain import held_plainly


def main() -> int:
    """Return 1 if an example lost or repeated something."""
    parser = argparse.ArgumentParser(prog="python -m tests.examples", description=__doc__)
    parser.add_argument("names", nargs="*", help="examples such as shop, or shop-group; none: all, each in one place")
    parser.add_argument("--kills", type=int, default=3, help="in each conversation")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000))
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the examples write their own logs
    chosen = [each for each in EXAMPLES if {each.name, str(each)} & set(asked.names)] if asked.names else ONCE
    print(f"--seed {asked.seed}")
    verdicts = [run(example, asked.kills, asked.seed) for example in chosen]
    return int(not all(verdicts))


def run(example: Example, kills: int, seed: int) -> bool:
    """Print a line, and return whether all is well."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            verdict = asyncio.run(verdict_on(example, Path(directory), kills, seed))
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


if __name__ == "__main__":
    sys.exit(main())
