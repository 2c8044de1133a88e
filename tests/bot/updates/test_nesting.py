"""What no parser takes is found, and the number of its update."""

from __future__ import annotations

import json

import pytest

from tempogram.bot.updates.nesting import DEPTH_MAX, is_too_deep, update_id_in, updates_in


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(("levels", "is_deep"), [(DEPTH_MAX, False), (DEPTH_MAX + 1, True), (2_000, True)])
def test_json_is_too_deep_beyond_the_bound(levels: int, *, is_deep: bool) -> None:
    assert is_too_deep(nested(levels)) is is_deep


@pytest.mark.parametrize(
    "text", ["[" * 1_000, '"{' * 1_000, "\\" * 999 + "[" * 1_000, "]" * 1_000], ids=lambda text: text[:4]
)
def test_brackets_in_a_users_text_are_no_nesting(text: str) -> None:
    update = json.dumps({"update_id": 7, "message": {"text": text, "entities": [{}] * 300}}).encode()

    assert not is_too_deep(update)
    assert update_id_in(update) == 7


def test_the_updates_of_a_batch_are_separated_whatever_one_of_them_holds() -> None:
    plain = json.dumps({"update_id": 1, "message": {"text": '"result": [{', "result": [{}]}}).encode()
    deep = b'{"x": %b, "update_id" : 2}' % nested(2_000)
    batch = b'{"ok": true, "other": [{"update_id": 9}], "result" : [%b, %b]}' % (plain, deep)

    updates = updates_in(batch)

    assert updates == [plain, deep]
    assert [update_id_in(each) for each in updates] == [1, 2]


@pytest.mark.parametrize("update", [b"{}", b'{"update_id": "7"}', b'{"x": "update_id"}', b'"'])
def test_an_update_without_a_number_has_none(update: bytes) -> None:
    assert update_id_in(update) is None


def test_a_text_without_end_is_read_once_and_not_again_from_each_of_its_quotes() -> None:
    """20 kB took 2.4 s, and twice as much four times as long: this megabyte would have taken more than an hour."""
    endless = b'{"update_id":1,"a":[' + b"[]," * 300 + b'"' + b'\\"' * 500_000 + b"\\"

    assert not is_too_deep(endless)
    assert update_id_in(endless) == 1
