"""Each example holds its conversation as its author runs it: an ordinary aiogram program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.conftest import Environment
from tests.examples.examples import EXAMPLES, Example
from tests.examples.plain import held_plainly


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
async def test_an_example_holds_its_conversation_under_plain_aiogram(
    example: Example, environment: Environment, tmp_path: Path
) -> None:
    transcript = await held_plainly(example, tmp_path, environment)

    assert any(shown.sender == "the_bot" for shown in transcript.chats["group" if example.in_group else "Anna"])
