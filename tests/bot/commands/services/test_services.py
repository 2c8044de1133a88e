"""``tempogram services``, as a user types it, against a running program."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import Program, program
from tests.forked import type_in

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tempogram(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    async with running_simulator() as telegram, program(tmp_path_factory.mktemp("program"), telegram.url) as running:
        yield running


async def services(tempogram: Program, *words: str) -> tuple[int, str, str]:
    return await type_in(tempogram.directory, ["services", *words, "--url", tempogram.url])


async def test_all_services_are_a_table_or_what_the_api_says(tempogram: Program) -> None:
    status, table, _ = await services(tempogram)

    async def printed_is_what_the_api_says() -> bool:
        _, printed, _ = await services(tempogram, "--json")
        return bool(json.loads(printed) == (await tempogram.call("GET", "/services"))[1])

    assert status == 0
    assert "twilio" in table
    assert "taskrouter" in table
    await tempogram.until(printed_is_what_the_api_says, within_s=20)  # a hold of the start may end between the two


async def test_one_service_is_shown_by_its_name(tempogram: Program) -> None:
    status, table, _ = await services(tempogram, "x")

    assert status == 0
    assert "x:mentions" in table
    assert "10 in 15 min" in table


async def test_a_change_is_shown_and_holds_until_it_is_reset(tempogram: Program) -> None:
    _, changed, _ = await services(tempogram, "change", "twilio", "operations.sms.count=2", "retries=1")
    _, reset, _ = await services(tempogram, "reset", "twilio", "--json")

    assert "2 in 1 s" in changed
    assert "Changed while running: operations.sms.count=2, retries=1" in changed
    assert json.loads(reset)["changes"] == {}


async def test_an_operation_is_held_and_released(tempogram: Program) -> None:
    _, held, _ = await services(tempogram, "hold", "twilio:sms", "600", "--reason", "their maintenance")
    _, released, _ = await services(tempogram, "release", "twilio")

    assert "their maintenance" in held
    assert "their maintenance" not in released


async def test_answers_of_a_service_are_forgotten(tempogram: Program) -> None:
    _, kept, _ = await services(tempogram, "change", "films", "operations.availability.cache.ttl_s=300")
    status, forgotten, _ = await services(tempogram, "forget", "films", "--json")
    await services(tempogram, "reset", "films")

    assert "Changed while running: operations.availability.cache.ttl_s=300" in kept
    assert status == 0
    assert json.loads(forgotten)["operations"]["availability"]["cache"]["ttl_s"] == 300
    assert "there is no service 'flims'" in (await services(tempogram, "forget", "flims"))[2]


async def test_a_breaker_is_opened_and_closed(tempogram: Program) -> None:
    _, opened, _ = await services(tempogram, "open", "twilio:sms")
    _, closed, _ = await services(tempogram, "close", "twilio")

    assert opened.count("open, by hand") == 1
    assert "open" not in closed


async def test_a_service_without_calls_that_wait_says_so(tempogram: Program) -> None:
    assert (await services(tempogram, "calls", "twilio"))[:2] == (0, "No call waits.\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["twillio"], "there is no service 'twillio'; declared are"),
        (["open", "twilio:smss"], "twilio has no operation 'smss'; it has"),
        (["change", "twilio", "retrys=1"], "retrys is no setting of a service"),
        (["change", "twilio", "concurrency=many"], "concurrency is 'many'; it must be a whole number"),
        (["explain", "none"], "no call 'none' waits"),
        (["hold", "twilio", "0"], "seconds should be greater than or equal to 0.001, not 0"),
    ],
)
async def test_what_is_refused_is_one_sentence(tempogram: Program, words: list[str], sentence: str) -> None:
    status, printed, errors = await services(tempogram, *words)

    assert (status, printed, errors.count("\n")) == (2, "", 1)
    assert sentence in errors


@pytest.mark.parametrize("words", [["change", "twilio", "retries"], ["change", "twilio", "a=1", "a=2"]])
async def test_what_is_no_change_is_refused(tempogram: Program, words: list[str]) -> None:
    status, _, errors = await services(tempogram, *words)

    assert status == 2
    assert "operations.sms.count=2" in errors
