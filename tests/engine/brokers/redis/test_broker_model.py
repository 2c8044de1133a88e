"""The Redis broker answers as the model does; ``model_command --broker redis`` takes more steps."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tempogram.engine.brokers.redis import constants
from tempogram.engine.brokers.redis.scripts import scripts
from tests.engine.brokers import audit, naive_broker
from tests.engine.brokers.blocking import on_redis
from tests.engine.brokers.machine import LEASE_MS, BrokerMachine, Make, budget, memory, naive

EXAMPLES = 15
"""Each of up to 50 steps. For more, or the shortest way to a finding: ``model_command --broker redis``."""


def test_the_redis_broker_answers_as_the_model_does(redis_url: str) -> None:
    run_against_redis(redis_url)


def test_the_redis_broker_answers_as_the_model_when_more_expires_than_one_call_takes_out(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (naive_broker, audit):
        monkeypatch.setattr(module, "EXPIRED_MAX", 1)
    monkeypatch.setitem(constants.CONSTANTS, "EXPIRED_MAX", 1)
    scripts.cache_clear()
    try:
        run_against_redis(redis_url)
    finally:
        scripts.cache_clear()


def run_against_redis(redis_url: str) -> None:
    class Machine(BrokerMachine):
        brokers: ClassVar[tuple[Make, Make | None]] = (memory, naive)

    with on_redis(redis_url, lease_ms=LEASE_MS) as make:
        Machine.brokers = (make, naive)
        run_state_machine_as_test(Machine, settings=budget(EXAMPLES, shrink=False))
