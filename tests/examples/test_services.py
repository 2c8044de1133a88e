"""The examples that call other services: as it is often written, each breaks a limit; with Tempogram, none does."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import pytest

from examples.services import campaign, films, records, tokens
from examples.services.shown import Example, Way
from tempogram import services
from tests.examples.conftest import Environment

EXAMPLES: dict[str, Example] = {module.__name__: module.EXAMPLE for module in (campaign, records, tokens, films)}


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, environment: Environment) -> Example:
    return EXAMPLES[request.param]


async def test_before_it_breaks_limits_of_the_service(example: Example) -> None:
    seen = await example.see_before()

    assert seen.refused == len(seen.broken) > 0


async def test_after_it_everything_is_answered_and_no_limit_is_broken(example: Example) -> None:
    seen = await example.see_after()

    assert (seen.answered, seen.refused, seen.broken) == (seen.asked, 0, ())


async def test_a_message_that_twilio_refuses_with_its_code_is_created_by_a_second_call(
    environment: Environment,
) -> None:
    async def create_refused(url: str) -> int:
        async with aiohttp.ClientSession(url) as http:
            await (await http.post("/-/next", json={"status": 429, "times": 1})).read()
            await services.call("twilio", "sms", campaign.create, http, "Messages", "+15550001")
        return 1

    seen = await replace(campaign.EXAMPLE, after=create_refused).see_after()

    assert (seen.answered, seen.refused, seen.calls, seen.broken) == (1, 1, 2, ())


async def test_what_came_of_both_ways_stands_in_columns(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    example = Example(title="Calls", asked=12, before=calls(5), after=calls(12), limits=[LIMIT])

    await example.show()

    title, _, head, *others = capsys.readouterr().out.splitlines()
    rows = [line for line in others if line.startswith(("before", "after"))]  # logs are beside them
    assert title == "Calls"
    assert [row.split()[:-1] for row in rows] == ["before 3 of 12 2 5".split(), "after 3 of 12 9 12".split()]
    assert {len(row) for row in rows} == {len(head)}


LIMIT = {"name": "calls", "prefix": "/", "count": 3, "window_ms": 60_000}


def calls(count: int) -> Way:
    async def way(url: str) -> int:
        async with aiohttp.ClientSession(url) as http:
            statuses = [(await http.get("/")).status for _ in range(count)]
        return statuses.count(200)

    return way
