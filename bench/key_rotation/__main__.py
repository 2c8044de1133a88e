"""Is anything lost, or sent with a wrong token, while SECRET_KEY is changed under load?

Question    ``SECRET_KEY`` is changed while an API, two workers and a scheduler work for 250 bots: by restarts and
            ``POST /keys/rotate``, of which the API is killed between two chunks. Is anything lost, does any call bear
            a wrong token, and is a window broken? And how long does the change of 1,000 bots take?
Workload    15 messages and 5 webhook deliveries a second, in a random order; each is repeated until it is accepted.
            A lock on one bot's row holds the change within a chunk that ``--seed`` chooses; there the API and a worker
            are killed and started again, and a process with each single key is started.
Measured    At the simulator, which knows the bots' tokens only.
Not measured  The network to Telegram.
Checked     0 lost, 0 with a wrong token or by another bot, 0 windows broken, 0 deliveries refused; messages went out
            while bots were under either key; a process with one key is refused; called again, the change ends.

    python -m bench.key_rotation [--bots 250] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.clean_exit import run_and_clean_up
from bench.harness import Checks, machine
from bench.key_rotation.duration import durations
from bench.key_rotation.run import Outcome, Plan, rotated_under_load
from tempogram.storage.migrations import migrate
from tests.chaos.servers import own_postgres, own_redis


async def bench(checks: Checks, plan: Plan) -> None:
    started_s = time.monotonic()

    def say(words: str) -> None:
        sys.stdout.write(f"  {time.monotonic() - started_s:5.1f} s  {words}\n")

    with tempfile.TemporaryDirectory(prefix="tempogram-keys-") as folder:
        async with own_redis() as redis, own_postgres() as postgres:
            await migrate(postgres.url)
            outcome = await rotated_under_load(
                plan, Path(folder), redis_url=redis.url, postgres_url=postgres.url, say=say
            )
            judge(checks, plan, outcome)
            await durations(postgres.url)


def judge(checks: Checks, plan: Plan, outcome: Outcome) -> None:
    """Check what came of it; see ``Outcome``."""
    halfway, after = outcome.halfway, outcome.after
    sys.stdout.write(f"  {outcome.tried_again} requests were made again, {outcome.twice} messages came twice\n")
    checks.that(halfway["present"] > 0 and halfway["former"] > 0, f"killed between chunks: {halfway}")
    checks.that(outcome.sent_halfway > 0, f"{outcome.sent_halfway} calls while bots were under either key")
    refused = sum("SECRET_KEY is being changed" in said for said in outcome.one_key)
    checks.that(refused == 2, f"{refused} of 2 processes with one key were refused meanwhile")
    is_done = (after["present"], after["former"], after["is_changing"]) == (plan.bots, 0, False)
    checks.that(is_done, f"called again, it ended: {after}")
    checks.that(outcome.lost == 0, f"{outcome.lost} of {outcome.expected} lost")
    checks.that(outcome.wrong_token == 0, f"{outcome.wrong_token} calls with a wrong token")
    checks.that(outcome.wrong_bot == 0, f"{outcome.wrong_bot} messages by another bot")
    checks.that(not outcome.broken_windows, f"no window broken: {outcome.broken_windows}")
    checks.that(not outcome.refused, f"{len(outcome.refused)} requests refused")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.key_rotation")
    parser.add_argument("--bots", type=int, default=250)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    asked, _ = parser.parse_known_args()
    sys.stdout.write(f"{(__doc__ or '').splitlines()[0]}\n  {machine()}, --seed {asked.seed}\n")
    checks = Checks()
    run_and_clean_up(bench(checks, Plan(bots=asked.bots, seed=asked.seed)))
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
