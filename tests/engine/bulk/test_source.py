from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator

import pytest

from tempogram.engine.bulk.source import Source
from tempogram.engine.model.errors import SettingsError


async def test_it_reads_what_can_be_iterated_in_either_way() -> None:
    async def later() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert [each async for each in Source([1, 2])] == [1, 2]
    assert [each async for each in Source(later())] == [1, 2]


async def test_closing_it_closes_a_generator_and_leaves_a_file_open() -> None:
    closed = []

    def now() -> Iterator[str]:
        try:
            yield "a"
        finally:
            closed.append("now")

    async def later() -> AsyncIterator[str]:
        try:
            yield "a"
        finally:
            closed.append("later")

    file = io.StringIO("a\nb\n")
    for items in (now(), later(), file):
        source = Source(items)
        await anext(source)
        await source.aclose()

    assert closed == ["now", "later"]
    assert not file.closed


def test_one_text_is_refused() -> None:
    with pytest.raises(SettingsError, match="the items are one text; give a list of texts"):
        Source("+1555")
