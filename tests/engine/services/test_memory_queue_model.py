"""What begins by the queue of one process stands before a strict account; see ``machine``."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis.stateful import run_state_machine_as_test

from tests.engine.brokers.machine import budget
from tests.engine.services.machine import Backend, QueueMachine
from tests.engine.services.model_backends import Memory


def test_a_strict_service_finds_no_fault_with_calls_of_one_process() -> None:
    class Machine(QueueMachine):
        make: ClassVar[Callable[[], Backend]] = Memory

    run_state_machine_as_test(Machine, settings=budget(100))
