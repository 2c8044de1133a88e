"""A minute in which everything goes wrong, and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.plan import Plan
from tests.chaos.run import chaos, say
from tests.chaos.servers import missing_programs

SEED = int(os.environ.get("CHAOS_SEED", "7"))
SECONDS = 60


@pytest.fixture(autouse=True)
def servers() -> None:
    missing = missing_programs()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"NO {' AND NO '.join(missing)}: many processes are not tested")
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}")


@pytest.mark.chaos
async def test_no_promise_is_broken_whatever_happens_to_processes_and_servers(tmp_path: Path) -> None:
    outcome = await chaos(Plan(seconds=SECONDS, seed=SEED), folder=tmp_path, say=say)

    broken = [each.said for each in outcome.judgement.promises if not each.holds and not each.of_speed]
    assert not broken, outcome.notes
