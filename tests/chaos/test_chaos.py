"""A minute of disturbances, after which nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.plan import Plan
from tests.chaos.run import chaos, say

SEED = int(os.environ.get("CHAOS_SEED", "7"))
SECONDS = 60


@pytest.mark.chaos
@pytest.mark.usefixtures("server_programs")
async def test_no_promise_is_broken_whatever_happens_to_processes_and_servers(tmp_path: Path) -> None:
    outcome = await chaos(Plan(seconds=SECONDS, seed=SEED), folder=tmp_path, say=say)

    broken = [each.said for each in outcome.judgement.promises if not each.holds and not each.of_speed]
    assert not broken, outcome.notes
