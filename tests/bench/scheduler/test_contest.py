"""The same as ``python -m bench.scheduler.contest``, for one kill."""

from __future__ import annotations

from bench.harness import Checks
from bench.scheduler import contest


async def test_tasks_on_small_budgets_go_on_after_a_kill_and_no_call_is_refused() -> None:
    checks = Checks()

    async with contest.contest() as of:
        await contest.in_time(checks, of, 4, "before the kill")
        await contest.killed(checks, of)
        await contest.kept_budgets(checks, of)

    assert checks.failed == []
