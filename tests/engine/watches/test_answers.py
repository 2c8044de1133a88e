from __future__ import annotations

import math

import pytest

from tempogram.engine.watches.answers import FIELDS_MAX, INTEGER_MAX, TEXT_MAX, NoAnswer, fields_of


def test_fields_keep_the_order_in_which_a_source_gives_them() -> None:
    assert list(fields_of({"price": 9, "name": "Tea", "in_stock": True, "until": None})) == [
        "price",
        "name",
        "in_stock",
        "until",
    ]


def test_a_long_text_is_cut_and_half_a_character_is_replaced() -> None:
    fields = fields_of({"name": "x" * 10_000, "half": "a\ud800b"})

    assert len(str(fields["name"])) == TEXT_MAX
    assert fields["half"] == "a?b"


def test_a_text_is_one_line_of_a_digest_in_its_own_direction() -> None:
    fields = fields_of({"na\nme": "tea\r\n• cup: price 9 → 1\u202e\x1b[2J"})

    assert fields == {"na me": "tea • cup: price 9 → 1 [2J"}


@pytest.mark.parametrize(
    "answer",
    [
        "tea",
        None,
        [("a", 1)],
        {"a": [1]},
        {"a": math.nan},
        {"a": math.inf},
        {"a": 10 * INTEGER_MAX},
        {str(each): 1 for each in range(FIELDS_MAX + 1)},
    ],
)
def test_what_cannot_be_stored_or_compared_is_refused(answer: object) -> None:
    with pytest.raises(NoAnswer, match=r"source"):
        fields_of(answer)
