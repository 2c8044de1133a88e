from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.selection.zones import find_zone, is_zone, zones


@given(st.sampled_from(sorted(zones())))
def test_every_zone_is_found_by_its_name_however_it_is_spelled(name: str) -> None:
    found = find_zone(f" {name.lower().replace('_', ' ')} ")

    assert found is not None
    assert found.casefold().replace("-", "_") == name.casefold().replace("-", "_")


@given(st.text(max_size=80))
def test_whatever_is_written_is_a_zone_or_none(text: str) -> None:
    found = find_zone(text)

    assert found is None or is_zone(found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("New York", "America/New_York"),
        ("new-york", "America/New_York"),
        ("Zürich", "Europe/Zurich"),
        ("kyiv", "Europe/Kyiv"),
        ("Ho Chi Minh", "Asia/Ho_Chi_Minh"),
        ("UTC", "UTC"),
        ("GMT+3", None),
        ("", None),
        ("Springfield", None),
    ],
)
def test_a_zone_is_found_by_its_city(text: str, name: str | None) -> None:
    assert find_zone(text) == name
