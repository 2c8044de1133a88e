from __future__ import annotations

from typing import Any

import pytest

from tempogram.engine.cache.options import CacheOptions, options_of
from tempogram.engine.model.errors import SettingsError

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no time": ({"ttl_s": 0}, "ttl_s is 0; it must be seconds, above 0 to 2,678,400"),
    "below zero": ({"ttl_s": -1}, "ttl_s is -1;"),
    "no number": ({"ttl_s": "5m"}, "ttl_s is '5m';"),
    "not finite": ({"ttl_s": float("nan")}, "ttl_s is nan;"),
    "milliseconds": ({"ttl_s": 300_000_000}, "ttl_s is 300000000;"),
    "longer than a month": ({"ttl_s": 2_000_000, "stale_s": 2_000_000}, "with stale times"),
    "early from the beginning": ({"ttl_s": 5, "early_s": 5}, "early_s is 5; it must be less than ttl_s, 5"),
    "a text as tags": ({"ttl_s": 5, "tags": "anna"}, "tags is 'anna'"),
    "an empty tag": ({"ttl_s": 5, "tags": ("",)}, "a tag is ''"),
    "errors that are none": ({"ttl_s": 5, "errors": (str,)}, "errors is"),
}


@pytest.mark.parametrize(("given", "sentence"), WRONG.values(), ids=WRONG)
def test_options_that_make_no_sense_are_refused_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        CacheOptions(**given)

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (300, "cache is 300; it must be a table such as {ttl_s = 300}, or false"),
        ({"ttl": 300}, "ttl is no word of a cache; there are early_s, negative_ttl_s,"),
        ({"stale_s": 60}, "cache has no ttl_s"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_in_one_sentence(table: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence.replace("{", r"\{")):
        options_of(table)


def test_a_change_leaves_the_words_that_it_does_not_name() -> None:
    declared = options_of({"ttl_s": 300, "stale_s": 60, "tags": ["films"]})

    assert options_of({"ttl_s": 30}, declared) == CacheOptions(ttl_s=30, stale_s=60, tags=("films",))
    assert options_of(table=False, base=declared) is None
