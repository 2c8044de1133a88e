"""What the chaos tests share."""

from __future__ import annotations

import os

import pytest

from tests.chaos.servers import missing_programs
from tests.forked_engine import _forked_engines

__all__ = ["_forked_engines"]


@pytest.fixture
def server_programs() -> None:
    """Skip a test that starts servers where there are none; in CI that is a failure."""
    missing = missing_programs()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"NO {' AND NO '.join(missing)}: many processes are not tested")
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}")
