"""Drive a queue of calls past a strict account for as many steps as one likes.

    python -m tests.engine.services.model_command --steps 100000 [--seed 1] [--queue redis]

Prints how far it is, and in the end either "no finding" or the shortest failing sequence it could make.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.brokers.machine import budget
from tests.engine.redis_server import own_redis
from tests.engine.services.machine import Backend, QueueMachine
from tests.engine.services.model_backends import Memory, on_redis

EXAMPLES = 50
"""Runs between two lines of progress."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1, help="the same seed takes the same steps")
    parser.add_argument("--queue", choices=("memory", "redis"), default="memory")
    asked = parser.parse_args(arguments)
    with _backend(asked.queue) as QueueMachine.make:
        return _drive(asked.steps, asked.seed)


@contextmanager
def _backend(name: str) -> Iterator[Callable[[], Backend]]:
    if name == "memory":
        yield Memory
        return
    with tempfile.TemporaryDirectory() as folder, own_redis(Path(folder)) as url, on_redis(url) as make:
        yield make


def _drive(steps: int, first_seed: int) -> int:
    QueueMachine.steps = 0
    begun_s, round_seed = time.monotonic(), first_seed * 1_000_000
    while QueueMachine.steps < steps:
        if (finding := _finding_of(round_seed)) is not None:
            _say(f"{finding}\nfound with --seed {first_seed}, in the round of seed {round_seed}")
            return 1
        round_seed += 1
        _say(f"{QueueMachine.steps:,} steps, {time.monotonic() - begun_s:.0f} s")
    _say(f"no finding in {QueueMachine.steps:,} steps")
    return 0


def _finding_of(round_seed: int) -> str | None:
    """Run a round; return what was broken and the steps that lead there."""

    class Machine(QueueMachine):
        """Hypothesis keeps the seed on the class; the steps go on from those counted so far."""

    try:
        run_state_machine_as_test(seed(round_seed)(Machine), settings=settings(budget(EXAMPLES), derandomize=False))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return "\n".join((*getattr(error, "__notes__", ()), f"{type(error).__name__}: {error}"))
    finally:
        QueueMachine.steps = Machine.steps
    return None


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
