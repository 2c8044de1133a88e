from __future__ import annotations

import asyncio

import pytest

from bench.services.bulk import CONCURRENCY, STRICT, Seen, claims_of, with_ours
from bench.services.processes import strict_server


async def test_a_bulk_through_our_limiter_meets_no_429() -> None:
    async with strict_server() as server:
        await server.begin(STRICT)
        async with with_ours(server.url, "") as send:
            statuses = await asyncio.gather(*(send(number) for number in range(25)))
        report = await server.report()

    assert statuses == [200] * 25
    assert report["statuses"] == {"200": 25}
    assert report["limits"]["queries"]["most_under_way"] <= CONCURRENCY


@pytest.mark.parametrize(("cpu_s", "verdict"), [(0.85, "holds"), (0.86, "DOES NOT HOLD"), (1.2, "DOES NOT HOLD")])
def test_a_claim_that_does_not_hold_is_named_so(cpu_s: float, verdict: str) -> None:
    seen = {"gather": of(refused=100, cpu_s=1.0), "memory": of(refused=0, cpu_s=cpu_s)}

    refused, cpu = claims_of("gather", seen).splitlines()[1:]

    assert refused.endswith("429s -100%; the claim of -90% holds")
    assert cpu.endswith(f"the claim of -15% {verdict}")


def of(*, refused: int, cpu_s: float) -> Seen:
    return Seen(refused=[refused], requests=[refused], lost=[0], took_s=[1.0], cpu_s=[cpu_s])
