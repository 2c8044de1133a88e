"""Reads what is known of chats from a list: CSV with a header, or a JSON object on each line."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
from pydantic import ValidationError

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import Malformed
from tempogram.api.core.json_depth import TOO_DEEP, is_too_deep
from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.api.core.validation_messages import first_sentence
from tempogram.api.http.lines import Line
from tempogram.api.schemas.chats import COLUMNS, WRONG_LINES_MAX, ChatLine, ImportedOut, WrongLineOut
from tempogram.storage.chat_facts import ChatFacts

LINES_MAX = 10_000
"""In one request, the header not counted."""

TOO_MANY = f"a request takes {LINES_MAX:,} lines, and these were stored; send the rest in further ones"

PIECE = 500
"""Lines that are stored at once; some 10 ms of work."""

CSV = "text/csv"
JSON_LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines")

Read = Callable[[str], Mapping[str, Any]]
"""Reads one line into the fields of ``ChatLine``; raises ``ValueError`` with a reason."""

WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class ChatImport:
    """One import into the chats of a bot. What is wrong in a line concerns that line only.

    Imported again it changes nothing, so a request that failed is repeated as a whole.
    """

    def __init__(self, dependencies: Dependencies, bot_id: int) -> None:
        self._dependencies = dependencies
        self._bot_id = bot_id
        self._piece: list[ChatFacts] = []
        self._stored = self._wrong = self._lines = 0
        self._wrong_lines: list[WrongLineOut] = []

    async def run(self, lines: AsyncIterator[Line], content_type: str) -> ImportedOut:
        """Store the lines, in pieces.

        Raises:
            Malformed: It is of neither kind, or its header is wrong; nothing was stored.
            Refusal: It has too many lines; the first of them were stored.
            LedgerError: Perhaps not all of it was stored.
        """
        read = await _reader(lines, content_type)
        async for line in lines:
            self._lines += 1
            if self._lines > LINES_MAX:
                await self._store()
                raise Refusal(TOO_MANY)
            self._take(line, read)
            if len(self._piece) >= PIECE:
                await self._store()
        await self._store()
        return ImportedOut(stored=self._stored, wrong=self._wrong, wrong_lines=self._wrong_lines)

    def _take(self, line: Line, read: Read) -> None:
        if line.text is None:
            self._note_wrong(line.number, line.reason)
            return
        try:
            self._piece.append(ChatLine.model_validate(read(line.text)).said(self._dependencies.clock()))
        except ValidationError as error:
            self._note_wrong(line.number, first_sentence(error))
        except ValueError as error:
            self._note_wrong(line.number, str(error))

    def _note_wrong(self, number: int, reason: str) -> None:
        self._wrong += 1
        if len(self._wrong_lines) < WRONG_LINES_MAX:
            self._wrong_lines.append(WrongLineOut(line=number, reason=reason))

    async def _store(self) -> None:
        piece, self._piece = self._piece, []
        if piece:
            await self._dependencies.chats.set_facts(self._bot_id, piece)
            self._stored += len(piece)


async def _reader(lines: AsyncIterator[Line], content_type: str) -> Read:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in JSON_LINES:
        return _from_json
    if kind != CSV:
        raise Malformed(f"the Content-Type is {short(content_type)}; send {CSV} or {JSON_LINES[0]}")
    header = await anext(lines, None)
    return _from_csv(_columns(header))


def _columns(header: Line | None) -> Sequence[str]:
    try:
        names = [] if header is None else [each.strip().lower() for each in _cells(header.text or "")]
    except ValueError as error:
        raise Malformed(f"the header is wrong: {error}") from None
    wrong = [name for name in names if name not in COLUMNS]
    if wrong:
        raise Malformed(f"the header has {short(wrong[0])}; its columns are among {', '.join(COLUMNS)}")
    if "chat_id" not in names or len(set(names)) < len(names):
        raise Malformed("the first line should be a header with chat_id and each column once")
    return names


def _from_csv(columns: Sequence[str]) -> Read:
    def read(text: str) -> Mapping[str, Any]:
        cells = _cells(text)
        if len(cells) != len(columns):
            raise ValueError(f"it has {len(cells)} cells, and the header {len(columns)}")
        return {name: _value(name, cell.strip()) for name, cell in zip(columns, cells, strict=True) if cell.strip()}

    return read


def _cells(text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise ValueError(f"it is not CSV: {error}") from None


def _value(name: str, cell: str) -> Any:
    match name:
        case "tags":
            return [tag for each in cell.split(";") if (tag := each.strip())]
        case "opted_out":
            return WORDS.get(cell.lower(), cell)
        case _:
            return cell


def _from_json(text: str) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if is_too_deep(value):
        raise ValueError(TOO_DEEP)
    if not isinstance(value, dict):
        raise ValueError("it should be a JSON object")  # noqa: TRY004 - the reason of a wrong line
    return value
