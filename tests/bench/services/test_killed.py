"""The same as ``python -m bench.services.killed``, with fewer processes and a faster clock."""

from __future__ import annotations

from bench.harness import Checks
from bench.services import killed


async def test_the_places_of_a_killed_process_come_back_within_its_lease_and_no_limit_is_broken() -> None:
    checks = Checks()

    async with killed.short_scene(processes=2, speed=8) as scene:
        await killed.killed(checks, scene)
        killed.check_limits(checks, scene)

    assert checks.failed == []
