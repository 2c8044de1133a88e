"""Drive a broker and its model for as many steps as one likes.

    python -m tests.engine.brokers.model_command --steps 100000 [--seed 1] [--broker redis]

Prints how far it is, and in the end either "no finding" or the shortest failing sequence it could make.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.brokers.blocking import on_redis
from tests.engine.brokers.machine import LEASE_MS, BrokerMachine, Make, budget, memory, naive
from tests.engine.redis_server import own_redis

EXAMPLES = 100
"""Runs between two lines of progress."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1, help="the same seed takes the same steps")
    parser.add_argument("--broker", choices=("memory", "redis"), default="memory")
    asked = parser.parse_args(arguments)
    with _broker(asked.broker) as make:
        BrokerMachine.brokers = (make, naive)
        return _drive(asked)


@contextmanager
def _broker(name: str) -> Iterator[Make]:
    if name == "memory":
        yield memory
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        own_redis(Path(folder)) as url,
        on_redis(url, lease_ms=LEASE_MS) as make,
    ):
        yield make


def _drive(asked: argparse.Namespace) -> int:
    BrokerMachine.steps = BrokerMachine.early = 0
    begun_s, round_seed = time.monotonic(), asked.seed * 1_000_000
    while BrokerMachine.steps < asked.steps:
        if (finding := _finding_of(round_seed)) is not None:
            _say(f"{finding}\nfound with --seed {asked.seed}, in the round of seed {round_seed}")
            return 1
        round_seed += 1
        _say(f"{BrokerMachine.steps:,} steps, {time.monotonic() - begun_s:.0f} s")
    _say(f"no finding in {BrokerMachine.steps:,} steps; {BrokerMachine.early:,} wake times were earlier than need be")
    return 0


def _finding_of(round_seed: int) -> str | None:
    """Run a round; return what was broken and the steps that lead there."""

    class Machine(BrokerMachine):
        """Hypothesis keeps the seed on the class; the steps go on from those counted so far."""

    try:
        run_state_machine_as_test(seed(round_seed)(Machine), settings=settings(budget(EXAMPLES), derandomize=False))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return "\n".join((*getattr(error, "__notes__", ()), f"{type(error).__name__}: {error}"))
    finally:
        BrokerMachine.steps, BrokerMachine.early = Machine.steps, Machine.early
    return None


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
