"""The showings, short: a strict server as a process of its own, which must not see a limit broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.harness import Checks
from bench.services.foreign_client import counted, ours, shared
from bench.services.processes import Clients, strict_server
from bench.services.shipped_limits import QUICKBASE, first_call, judge_load, one_process
from bench.services.token_estimates import judge

SHORT_S = 2.0


@pytest.mark.parametrize("failures", [0.0, 0.2])
async def test_no_limit_is_broken_when_a_service_is_called_as_fast_as_it_allows(failures: float) -> None:
    checks = Checks()
    manner = {**QUICKBASE.manner, "failures": failures}
    never_open = {"quickbase": {"breaker": {"failures": 0}, "delay_s": 0.01}}
    # how much is used is measured by the benchmark: it depends on what else the machine does
    short = replace(QUICKBASE, seconds=SHORT_S, bound=(), manner=manner, changes=never_open)

    async with strict_server() as server, one_process(server) as place:
        await judge_load(checks, place, short)

    assert checks.failed == []


async def test_a_budget_that_another_client_uses_half_of_costs_one_refused_call_at_most() -> None:
    async with strict_server() as server:
        calls, refused, _ = counted(await shared(server, "ratelimit", ours(server), windows=2))

    assert calls > 10
    assert refused <= 1


async def test_tokens_are_overshot_by_one_call_at_most_when_each_costs_half_more_than_expected() -> None:
    checks = Checks()
    rule = {"name": "tokens", "prefix": "/llm/", "count": 6_000, "window_ms": 2_000, "unit": "tokens"}
    limit = {"tokens": {"count": 6_000, "window_ms": 2_000}}
    changes = {"llm": {"min_time": 0, "operations": {"chat": {"count": 1_000, **limit}}}}
    async with strict_server() as server:
        await server.begin({"rules": [rule], "manner": {"hold_ms": [20, 60], "costs": [1.5, 1.5]}})
        order = {"server": server.url, "load": [["llm", "chat", 10]], "services": changes, "tokens": 300}
        async with Clients(1, order):
            await first_call(server, calls=30)
            judge(checks, await server.report(), is_used=False)

    assert checks.failed == []
