"""Several processes that share one database and one Redis."""

from __future__ import annotations

import pytest

from tests.engine.failover.fake_processes import FakeProcess, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def one(world: World) -> FakeProcess:
    return FakeProcess(world, "one")


@pytest.fixture
def other(world: World) -> FakeProcess:
    return FakeProcess(world, "other")
