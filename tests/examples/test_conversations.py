"""Each example holds the same conversation as an ordinary aiogram program, by the one line, and as a behaviour."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.sync_client import served_in_thread
from tests.examples.conftest import Environment
from tests.examples.examples import EXAMPLES, IN_GROUPS, ONCE, Example
from tests.examples.moved import GROUP_LIMIT, fill_group, handlers_ended, moved
from tests.examples.one_line import by_one_line
from tests.examples.plain import NO_LIMITS, held_plainly
from tests.examples.talk import Talk

WINDOW_S = 1.5
"""A minute, for a test: the group is full for that long."""


FULL_GROUP = SimulatorSettings(
    private_limit=0, bot_limit=0, group_limit=GROUP_LIMIT, group_window_ms=int(1_000 * WINDOW_S)
)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
async def test_an_example_says_under_tempogram_what_it_says_under_plain_aiogram(
    example: Example, environment: Environment, tmp_path: Path
) -> None:
    plainly = await held_plainly(example, tmp_path, environment)

    with served_in_thread(NO_LIMITS) as telegram:
        talk = Talk.begin(telegram, in_group=example.in_group)
        async with moved(example, telegram, tmp_path, environment, window_s=60) as built:
            talk.idle = partial(handlers_ended, built)
            await example.converse(talk)
        moved_in = talk.transcript()

    assert moved_in.lines() == plainly.lines()


@pytest.mark.parametrize("example", ONCE, ids=str)
async def test_an_example_says_by_the_one_line_what_it_says_under_plain_aiogram(
    example: Example, environment: Environment, tmp_path: Path
) -> None:
    plainly = await held_plainly(example, tmp_path, environment)

    with served_in_thread(NO_LIMITS) as telegram:
        talk = Talk.begin(telegram, in_group=example.in_group)
        async with by_one_line(example, telegram, tmp_path, environment, window_s=60) as talk.idle:
            await example.converse(talk)
        shown = talk.transcript()

    assert shown.lines() == plainly.lines()


@pytest.mark.parametrize("example", IN_GROUPS, ids=str)
async def test_an_example_in_a_full_group_ends_as_in_one_that_is_never_full(
    example: Example, environment: Environment, tmp_path: Path
) -> None:
    plainly = await held_plainly(example, tmp_path, environment)

    with served_in_thread(FULL_GROUP) as telegram:
        talk = Talk.begin(telegram, in_group=True)
        async with moved(example, telegram, tmp_path, environment, window_s=WINDOW_S) as built:
            await fill_group(built, telegram)
            await example.converse(talk)
        full, report = talk.transcript(), telegram.report()

    assert full.without_edit_marks().lines() == plainly.without_edit_marks().lines()
    assert report.busiest_group.places == GROUP_LIMIT
    assert report.broke_no_window
