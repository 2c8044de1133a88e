"""Sends a list of chats of any size to the API, in pieces, and tries each again until it is stored."""

from __future__ import annotations

import sys
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import typer

from tempogram.bot.commands.client import Client, NotNow
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.resilience.backoff import doubled_ms

LINES = 10_000
"""In one request; the API takes no more."""

BYTES = 8 << 20
"""In one request, where lines are long; the API takes 10 MiB."""

LINE_BYTES_MAX = 64 << 10
"""The API names a longer one, and one cut to this length, as too long."""

TRIES, PAUSE_MS, PAUSE_MS_MAX = 20, 1_000, 30_000
"""Of one piece: some eight minutes."""

CSV, JSON_LINES = "text/csv", "application/x-ndjson"
WRONG_MAX = 1_000
"""Wrong lines that are named; all are counted."""

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines that go in one request; ``offset`` and a number in the answer are the number in the file."""

    body: bytes
    offset: int
    last_line: int


def import_file(client: Client, bot: int, file: Path, *, sleep: Sleep = time.sleep) -> dict[str, int]:
    """Store a file, and return how many lines were stored and how many were wrong; - is the standard input.

    Raises:
        CallFailed: The API refused it, or did not answer for long. The same again goes on from there.
        SettingsError: The file cannot be read.
    """
    client.get(f"/bots/{bot}")  # so that a wrong address, token or bot is an error at once
    path = f"/bots/{bot}/chats/import"
    total = {"stored": 0, "wrong": 0}
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as opened:
            lines = _Lines(opened)
            for piece in lines.pieces():
                answer = _sent(client, path, piece, lines.content_type, sleep)
                _name_wrong(answer, piece, total["wrong"])
                total = {name: total[name] + answer[name] for name in total}
                typer.echo(f"{piece.last_line:,} lines: {total['stored']:,} stored, {total['wrong']:,} wrong", err=True)
    except OSError as error:
        raise SettingsError(f"{file} cannot be read ({error.strerror})") from None
    return total


class _Lines:
    """The lines of a file; its first character tells JSON lines from CSV, and empty lines before that are left out."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left_out = 0
        while (line := self._read()) and not line.removeprefix(BOM_UTF8).strip():
            self._left_out += 1
        self._first = line
        is_json = line.removeprefix(BOM_UTF8).lstrip().startswith(b"{")
        self.content_type = JSON_LINES if is_json else CSV

    def pieces(self) -> Iterator[Piece]:
        """Give pieces of the file, each with the header if it has one."""
        header, rest = (b"", self._first) if self.content_type == JSON_LINES else (self._first, self._read())
        read = self._left_out + int(bool(header))
        while rest:
            body, count = [header, rest], 1
            size = len(header) + len(rest)
            while count < LINES and size < BYTES and (line := self._read()):
                body.append(line)
                count, size = count + 1, size + len(line)
            yield Piece(b"".join(body), offset=read - int(bool(header)), last_line=read + count)
            read, rest = read + count, self._read()

    def _read(self) -> bytes:
        line = self._file.readline(LINE_BYTES_MAX)
        if line and not line.endswith(b"\n"):
            rest = line
            while rest and not rest.endswith(b"\n"):  # of a line that is too long
                rest = self._file.readline(LINE_BYTES_MAX)
            line += b"\n"
        return line


def _sent(client: Client, path: str, piece: Piece, content_type: str, sleep: Sleep) -> dict[str, Any]:
    for tries in range(TRIES):
        try:
            answer: dict[str, Any] = client.send(path, piece.body, content_type)
        except NotNow as error:
            if tries == TRIES - 1:
                raise
            pause_s = doubled_ms(PAUSE_MS, tries, ms_max=PAUSE_MS_MAX) / 1_000
            typer.echo(f"{error}; tries again in {pause_s:g} s", err=True)
            sleep(pause_s)
        else:
            return answer
    raise AssertionError("the last try returns or raises")


def _name_wrong(answer: dict[str, Any], piece: Piece, before: int) -> None:
    """Print which lines were wrong; ``before`` is how many were already."""
    named = answer["wrong_lines"][: max(0, WRONG_MAX - before)]
    for each in named:
        typer.echo(f"line {each['line'] + piece.offset:,}: {each['reason']}", err=True)
    if len(named) < answer["wrong"]:
        typer.echo(f"and {answer['wrong'] - len(named):,} more up to line {piece.last_line:,}", err=True)
