"""``tempogram simulator``, as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tempogram.bot.commands import simulator
from tempogram.simulator.services.words import FORMS
from tests.forked import type_in


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "group_limit=-1"], "simulator: group_limit must be at least 0, not -1\n"),
        (["service", "--count", "-1"], "service: count must be at least 0, not -1\n"),
    ],
)
async def test_both_stand_ins_are_started_with_settings_of_their_own(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    assert await type_in(tmp_path, ["simulator", *words]) == (2, "", sentence)


async def test_options_before_the_service_are_refused(tmp_path: Path) -> None:
    status, _, errors = await type_in(tmp_path, ["simulator", "--port", "8090", "service"])

    assert status == 2
    assert "write those of service behind it" in errors


def test_the_help_names_every_form() -> None:
    assert simulator.FORMS.replace(" or ", ", ").split(", ") == list(FORMS)
