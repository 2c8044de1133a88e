"""The examples of calling other services: what each loses as it is often written, and none with Tempogram."""

from __future__ import annotations

import pytest

from examples.services import campaign
from examples.services.shown import Example
from tests.examples.conftest import Environment

EXAMPLES = {"campaign": campaign.EXAMPLE}


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, environment: Environment) -> Example:
    return EXAMPLES[request.param]


async def test_before_it_breaks_limits_of_the_service(example: Example) -> None:
    seen = await example.see_before()

    assert seen.refused == len(seen.broken) > 0


async def test_after_it_everything_is_answered_and_no_limit_is_broken(example: Example) -> None:
    seen = await example.see_after()

    assert (seen.answered, seen.refused, seen.broken) == (seen.asked, 0, ())
