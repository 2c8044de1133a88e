"""The memory broker answers as the model does, step by step; see ``machine``."""

from __future__ import annotations

from tests.engine.brokers.machine import BrokerMachine, budget

TestMemoryBrokerAgainstTheModel = BrokerMachine.TestCase
TestMemoryBrokerAgainstTheModel.settings = budget(100)
