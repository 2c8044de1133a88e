"""What begins by the queue of many processes stands before a strict account; see ``machine``."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis.stateful import run_state_machine_as_test

from tests.engine.brokers.machine import budget
from tests.engine.services.machine import Backend, QueueMachine
from tests.engine.services.model_backends import Memory, on_redis

EXAMPLES = 12
"""Each of up to 50 steps. For more, or the shortest way to a finding: ``model_command --queue redis``."""


def test_a_strict_service_finds_no_fault_with_calls_of_many_processes(redis_url: str) -> None:
    class Machine(QueueMachine):
        make: ClassVar[Callable[[], Backend]] = Memory

    with on_redis(redis_url) as make:
        Machine.make = make
        run_state_machine_as_test(Machine, settings=budget(EXAMPLES, shrink=False))
