from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from tempogram.api.http.lines import LINE_BYTES_MAX, Line, lines_of


async def read(chunks: Sequence[bytes]) -> list[Line]:
    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [line async for line in lines_of(arriving())]


@given(st.text(alphabet="aé\n\r ,", max_size=40).map(str.encode), st.lists(st.integers(0, 60), max_size=5))
async def test_lines_do_not_depend_on_how_the_body_is_cut(body: bytes, cuts: list[int]) -> None:
    ends = sorted(min(cut, len(body)) for cut in cuts)
    chunks = [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]

    lines = await read(chunks)

    whole = body.decode().split("\n")
    assert lines == [Line(number, line.strip("\r")) for number, line in enumerate(whole, 1) if line.strip()]


async def test_a_line_that_does_not_end_is_cut_and_named_and_the_next_one_is_read() -> None:
    lines = await read([b"first\n", *[b"x" * 5_000] * 2_000, b"\nlast"])

    assert lines == [
        Line(1, "first"),
        Line(2, None, f"it has more than {LINE_BYTES_MAX:,} bytes"),
        Line(3, "last"),
    ]


async def test_bytes_that_are_no_text_are_named_and_a_byte_order_mark_is_not_part_of_the_first_line() -> None:
    lines = await read([b"\xef\xbb\xbfa\n", b"\xff\n", b"b"])

    assert lines == [Line(1, "a"), Line(2, None, "it is not UTF-8"), Line(3, "b")]
