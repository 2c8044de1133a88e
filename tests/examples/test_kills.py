"""A kill -9 in the middle of a conversation loses nothing, and repeats nothing but what was in flight."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.conftest import Environment
from tests.examples.examples import Example
from tests.examples.kills import difference, held_over_kills
from tests.examples.one_line import cut_by_kill
from tests.examples.plain import held_plainly
from tests.examples.talk import Shown, Transcript

KILLED = [(Example("shop", "private"), (14,))]
"""Each with the steps after which it is killed: one, as it takes two starts; ``python -m tests.examples`` does all."""


@pytest.mark.parametrize(("example", "after_steps"), KILLED, ids=str)
async def test_a_conversation_goes_on_over_kills(
    example: Example, after_steps: tuple[int, ...], environment: Environment, tmp_path: Path
) -> None:
    plainly = await held_plainly(example, tmp_path, environment)

    transcript, killer = await held_over_kills(example, tmp_path, after_steps, seed=12)

    found = difference(plainly, transcript, kills=killer.kills)
    assert killer.kills == len(after_steps)
    assert found.is_allowed, found


@pytest.mark.parametrize("example", [Example("shop", "private")], ids=str)
async def test_what_an_example_by_the_one_line_had_accepted_before_a_kill_arrives_after_it(
    example: Example, tmp_path: Path
) -> None:
    cut = await cut_by_kill(example, tmp_path, 14, seed=12)

    assert cut.accepted > 0
    assert cut.is_allowed, cut


@pytest.mark.parametrize(
    ("shown", "missing", "extra"),
    [
        (["a", "b", "c"], [], []),
        (["a", "a", "b", "c"], [], ["a"]),
        (["a", "c"], ["b", "c"], ["c"]),
        (["a", "c", "b"], ["c"], ["c"]),
        ([], ["a", "b", "c"], []),
    ],
)
def test_what_is_missing_twice_or_out_of_order_is_found(shown: list[str], missing: list[str], extra: list[str]) -> None:
    found = difference(transcript_of("a", "b", "c"), transcript_of(*shown), kills=1)

    assert [message.text for message in found.missing] == missing
    assert [message.text for message in found.extra] == extra


def transcript_of(*texts: str) -> Transcript:
    return Transcript({"Anna": [Shown("bot", text) for text in texts]}, [])
