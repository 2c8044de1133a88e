"""``python -m tests.chaos --minutes 10 --seed 7``: status 1 if a promise was broken."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from bench.harness import machine
from bench.orderly import run_orderly
from tests.chaos.duplicates import Copy
from tests.chaos.evidence import Act
from tests.chaos.judge import told
from tests.chaos.plan import ROLES, Plan
from tests.chaos.run import Outcome, chaos, say

COPIES_LISTED = 30


def main() -> int:
    asked = _asked()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="tempogram-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        seconds=asked.minutes * 60,
        seed=asked.seed,
        rate=asked.rate,
        roles=tuple(asked.roles.split(",")),
        acts=tuple(Act[name.upper()] for name in asked.acts.split(",")),
    )
    say(f"chaos for {asked.minutes:g} minutes, --seed {asked.seed}; the words of all processes: {folder}")
    return tell(run_orderly(chaos(plan, folder=folder, say=say)))


def tell(outcome: Outcome) -> int:
    """Print the report, and return 1 if something was broken."""
    judgement = outcome.judgement
    say(f"\n{machine()}")
    for note in outcome.notes:
        say(f"  {note}")
    for copy in judgement.copies[:COPIES_LISTED]:
        say(f"  twice: {_copy(copy)}")
    for violation in judgement.standing:
        say(f"  broken: {violation}")
    for late, before in judgement.out_of_order:
        say(f"  late: {told([late])}, {late.at_ms - before.at_ms:.0f} ms after {before.text}")
    for promise in judgement.promises:
        say(f"  {'ok  ' if promise.holds else 'FAIL'} {promise.said}")
    return 0 if all(promise.holds for promise in judgement.promises) else 1


def _copy(copy: Copy) -> str:
    cause = copy.cause if copy.cause is None or isinstance(copy.cause, str) else _act(copy)
    first, again = copy.first, copy.again
    return (
        f"bot {first.bot_id}, chat {first.chat_id}: {first.text}, again after {again.at_ms - first.at_ms:.0f} ms: "
        f"{cause or 'NOBODY KNOWS WHY'}"
    )


def _act(copy: Copy) -> str:
    assert copy.cause is not None
    assert not isinstance(copy.cause, str)
    return f"{copy.cause.target or 'all'}: {copy.cause.act.value}"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rate", type=float, default=Plan(seconds=0, seed=0).rate, help="messages a second")
    parser.add_argument("--roles", default=",".join(ROLES), help="a process each, comma-separated")
    parser.add_argument("--acts", default=",".join(act.name.lower() for act in Act), help="what may be done")
    parser.add_argument("--keep", type=Path, help="a folder for the words of all processes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
