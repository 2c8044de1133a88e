"""A desk for each test."""

from __future__ import annotations

import pytest

from tests.engine_work.desk import Desk


@pytest.fixture
async def desk() -> Desk:
    return Desk()
