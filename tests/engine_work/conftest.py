"""A desk for each test, or several processes that share what there is to share."""

from __future__ import annotations

import pytest

from tests.engine_work.desk import Desk
from tests.engine_work.several import FakeProcess, World


@pytest.fixture
async def desk() -> Desk:
    return Desk()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def one(world: World) -> FakeProcess:
    return FakeProcess(world, "one")


@pytest.fixture
def other(world: World) -> FakeProcess:
    return FakeProcess(world, "other")
