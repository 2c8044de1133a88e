"""``python -m tests.fuzz --minutes 2 --seed 7``: status 1 if an answer was wrong; ``--only 12`` repeats one request."""

from __future__ import annotations

import argparse
import random
import sys

from bench.clean_exit import run_and_clean_up
from tests.chaos.run import say
from tests.fuzz.run import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--only", type=int, help="the number of one request")
    asked = parser.parse_args()
    say(f"requests as no client should make them, for {asked.minutes:g} minutes, --seed {asked.seed}")
    outcome = run_and_clean_up(fuzz(seconds=asked.minutes * 60, seed=asked.seed, only=asked.only, say=say))
    for trouble in outcome.troubles:
        say(f"  FAIL {trouble}")
    say(
        f"  {outcome.requests} requests, {len(outcome.troubles)} wrong; "
        f"{outcome.warm_mb} MB warm, {outcome.end_mb} MB at the end"
    )
    return 1 if outcome.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
