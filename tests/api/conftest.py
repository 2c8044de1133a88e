from __future__ import annotations

import pytest

from tests.api.fakes import World


@pytest.fixture
def world() -> World:
    return World()
