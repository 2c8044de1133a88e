"""An answer that is too long is cut to what one message takes, and no character is broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.bot.behaviours.cutting import cut
from tempogram.bot.validation.parameter_limits import TEXT_MAX

FAMILY, FLAG, SYLLABLE, ACCENTED, KEYCAP = "👨‍👩‍👧‍👦", "🇫🇷", "각", "e\u0301\u0323", "1️⃣"


@pytest.mark.parametrize("character", [FAMILY, FLAG, SYLLABLE, ACCENTED, KEYCAP, "🐎", "क्षि", "\r\n"])
def test_a_character_of_several_code_points_is_shown_as_a_whole_or_not_at_all(character: str) -> None:
    text = "a" + character * 4_096 + "b"

    shown = cut(text)

    assert len(shown) <= TEXT_MAX
    assert shown == "a" + character * ((TEXT_MAX - 2) // len(character)) + "…"


def test_a_character_longer_than_a_message_is_cut_itself() -> None:
    text = "a" + "\u0301" * 9_000

    assert cut(text) == text[: TEXT_MAX - 1] + "…"


def test_4096_emoji_are_one_message() -> None:
    assert cut("😀" * 4_096) == "😀" * 4_096
    assert cut("😀" * 4_097) == "😀" * 4_095 + "…"


@given(characters=st.lists(st.sampled_from([FAMILY, FLAG, ACCENTED, "a", " ", "\u0301", "\u200d"]), max_size=40))
def test_a_text_that_is_cut_is_the_beginning_of_the_text(characters: list[str]) -> None:
    text = "".join(characters)

    shown = cut(text, most=20)

    assert len(shown.strip()) <= 20
    assert shown == text or text.startswith(shown.removesuffix("…"))
