"""The memory broker answers as the model does, step by step; see ``machine``."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tempogram.engine.brokers.memory import queue
from tests.engine.brokers import audit, naive_broker
from tests.engine.brokers.machine import BrokerMachine, budget

TestMemoryBrokerAgainstTheModel = BrokerMachine.TestCase
TestMemoryBrokerAgainstTheModel.settings = budget(50)


def test_the_memory_broker_answers_as_the_model_when_more_expires_than_one_call_takes_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (queue, naive_broker, audit):
        monkeypatch.setattr(module, "EXPIRED_MAX", 1)

    run_state_machine_as_test(BrokerMachine, settings=budget(50, shrink=False))
