"""The same as ``python -m bench.services.outage``, with fewer processes, a faster clock and shorter outages."""

from __future__ import annotations

from bench.harness import Checks
from bench.services import outage
from bench.services.moody_server import Mood


async def test_a_failing_service_is_left_alone_by_all_and_a_process_that_is_cut_off_stops_alone() -> None:
    checks = Checks()

    async with outage.scene(processes=2, calls_per_s=50, speed=4) as scene:
        outage.check_unwell(checks, scene, await outage.unwell(scene, Mood.FAILING, unwell_s=1, well_s=1.5))
        await outage.cut_off(checks, scene, cut_s=1, well_s=1)

    assert checks.failed == []


async def test_a_service_that_answers_only_errors_gets_a_tenth_more_calls_than_first_attempts() -> None:
    checks = Checks()

    await outage.only_errors(checks, first_attempts=300)

    assert checks.failed == []
