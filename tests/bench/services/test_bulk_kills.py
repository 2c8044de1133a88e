from __future__ import annotations

from dataclasses import replace

from bench.harness import Checks
from bench.services.bulk_kills import EXAMPLES, judge_example
from bench.services.processes import strict_server


async def test_a_campaign_that_is_killed_and_started_again_reaches_every_contact() -> None:
    checks = Checks()

    async with strict_server() as server:
        await judge_example(checks, server, replace(EXAMPLES[0], items=15, faster=10), kills=[0.5])

    assert checks.failed == []
