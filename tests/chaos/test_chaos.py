"""Twenty seconds of disturbances, after which nothing is lost."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.plan import TERMS, Plan
from tests.chaos.run import chaos, say

SEED = int(os.environ.get("CHAOS_SEED", "7"))
SECONDS = 20
TROUBLE_S, AFTERMATH_MS = 3.0, 2_000
"""Short, so that there is time for other acts; how long others wait meanwhile is not judged here."""
SHORT_TERMS = replace(TERMS, aftermath_ms=AFTERMATH_MS, judged_min=0)


@pytest.mark.chaos
@pytest.mark.usefixtures("server_programs")
async def test_no_promise_is_broken_whatever_happens_to_processes_and_servers(tmp_path: Path) -> None:
    plan = Plan(seconds=SECONDS, seed=SEED, trouble_s=TROUBLE_S, terms=SHORT_TERMS)

    outcome = await chaos(plan, folder=tmp_path, say=say)

    broken = [each.said for each in outcome.judgement.promises if not each.holds and not each.of_speed]
    assert not broken, outcome.notes
