"""Work that an outage refused is tried again, and a loop outlives its errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.resilience.retry import every, retry


class Pauses:
    """Notes each pause and ends it at once; after the last one it never ends."""

    def __init__(self, most: int = 100) -> None:
        self.slept: list[float] = []
        self.over = asyncio.Event()
        self._most = most

    async def sleep(self, seconds: float) -> None:
        if len(self.slept) == self._most:
            self.over.set()
            await asyncio.Event().wait()
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Work:
    """Fails with these errors, one after the other, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.times = 0

    async def __call__(self) -> str:
        self.times += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def away(times: int) -> list[BrokerUnavailable]:
    return [BrokerUnavailable("away") for _ in range(times)]


async def test_work_is_tried_again_until_it_succeeds() -> None:
    pauses, seen = Pauses(), list[str]()

    answer = await retry(
        Work(*away(2)),
        on=BrokerUnavailable,
        pause_s=1.0,
        on_failure=lambda error: seen.append(str(error)),
        sleep=pauses.sleep,
    )

    assert (answer, pauses.slept, seen) == ("done", [1.0, 1.0], ["away", "away"])


async def test_a_pause_doubles_up_to_its_limit() -> None:
    pauses = Pauses()

    await retry(Work(*away(5)), on=BrokerUnavailable, pause_s=0.1, pause_s_max=0.5, sleep=pauses.sleep)

    assert pauses.slept == [0.1, 0.2, 0.4, 0.5, 0.5]


@pytest.mark.parametrize("given_up", [lambda: True, lambda: False])
async def test_an_error_is_raised_when_the_retry_is_given_up(given_up: Callable[[], bool]) -> None:
    work, pauses = Work(*away(1)), Pauses()

    trying = retry(work, on=BrokerUnavailable, pause_s=1.0, give_up=given_up, sleep=pauses.sleep)
    answers = await asyncio.gather(trying, return_exceptions=True)

    assert [type(answer) for answer in answers] == ([BrokerUnavailable] if given_up() else [str])
    assert work.times == (1 if given_up() else 2)


async def test_an_error_of_another_kind_is_raised_at_once() -> None:
    with pytest.raises(LedgerError):
        await retry(Work(LedgerError("away")), on=BrokerUnavailable, pause_s=1.0)


async def test_a_loop_outlives_errors_and_logs_only_those_that_are_not_expected() -> None:
    work, pauses = Work(BrokerUnavailable("away"), ZeroDivisionError()), Pauses(most=3)

    with capture_logs() as logs:
        loop = asyncio.create_task(
            every(5.0, work, failed="work_failed", expected=BrokerUnavailable, sleep=pauses.sleep)
        )
        await pauses.over.wait()
        loop.cancel()

    assert (work.times, pauses.slept) == (3, [5.0, 5.0, 5.0])
    assert [each["event"] for each in logs] == ["work_failed"]
