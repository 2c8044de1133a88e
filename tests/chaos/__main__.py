"""``python -m tests.chaos --minutes 10 --seed 7``: status 1 if a promise was broken."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from bench.clean_exit import run_and_clean_up
from bench.harness import machine
from tests.chaos.duplicates import Duplicate
from tests.chaos.evidence import Act
from tests.chaos.judge import counted
from tests.chaos.plan import FULL_MINUTES, ROLES, Plan, terms_of
from tests.chaos.run import Outcome, chaos, say

DUPLICATES_LISTED = 30


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
        terms=terms_of(asked.minutes),
    )
    say(f"chaos for {asked.minutes:g} minutes, --seed {asked.seed}; the output of all processes: {folder}")
    return report(run_and_clean_up(chaos(plan, folder=folder, say=say)))


def report(outcome: Outcome) -> int:
    """Print the report, and return 1 if something was broken."""
    judgement = outcome.judgement
    say(f"\n{machine()}")
    for note in outcome.notes:
        say(f"  {note}")
    for duplicate in judgement.duplicates[:DUPLICATES_LISTED]:
        say(f"  twice: {_duplicate(duplicate)}")
    for violation in judgement.standing:
        say(f"  broken: {violation}")
    for late, before in judgement.out_of_order:
        say(f"  late: {counted([late])}, {late.at_ms - before.at_ms:.0f} ms after {before.text}")
    for promise in judgement.promises:
        say(f"  {'ok  ' if promise.holds else 'FAIL'} {promise.said}")
    return 0 if all(promise.holds for promise in judgement.promises) else 1


def _duplicate(duplicate: Duplicate) -> str:
    cause = duplicate.cause if duplicate.cause is None or isinstance(duplicate.cause, str) else _act(duplicate)
    first, again = duplicate.first, duplicate.again
    return (
        f"bot {first.bot_id}, chat {first.chat_id}: {first.text}, again after {again.at_ms - first.at_ms:.0f} ms: "
        f"{cause or 'NO KNOWN CAUSE'}"
    )


def _act(duplicate: Duplicate) -> str:
    assert duplicate.cause is not None
    assert not isinstance(duplicate.cause, str)
    return f"{duplicate.cause.target or 'all'}: {duplicate.cause.act.value}"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=FULL_MINUTES)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rate", type=float, default=Plan(seconds=0, seed=0).rate, help="messages a second")
    parser.add_argument("--roles", default=",".join(ROLES), help="a process each, comma-separated")
    parser.add_argument("--acts", default=",".join(act.name.lower() for act in Act), help="which disturbances")
    parser.add_argument("--keep", type=Path, help="a folder for the output of all processes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
