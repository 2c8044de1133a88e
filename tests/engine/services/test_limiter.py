from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from tempogram.engine.model.clock import SystemClock
from tempogram.engine.services.limiter import CallLimiter, MemoryCallLimiter
from tests.engine.services.limiter_contract import CallLimiterContract, KeptInAList


@pytest.fixture
def kept() -> KeptInAList:
    return KeptInAList()


class TestMemoryCallLimiter(CallLimiterContract):
    @pytest.fixture
    async def limiters(self, kept: KeptInAList) -> AsyncIterator[Sequence[CallLimiter]]:
        limiter = MemoryCallLimiter(clock=SystemClock(), uses=kept, after_start=False)
        yield [limiter]
        await limiter.close()
