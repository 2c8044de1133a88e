from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.http.lines import lines_of
from tempogram.api.usecases.chat_import import ChatImport
from tempogram.bot.commands.audience import file_import
from tempogram.bot.commands.audience.file_import import LINES, TRIES, import_file
from tempogram.bot.commands.client import CallFailed, Client, NotNow
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.chat_facts import ChatFacts

BOT = 42


class ListClient:
    """An API that keeps what it is sent. ``away``: how many calls it does not answer."""

    def __init__(self, answers: Callable[[bytes], dict[str, Any]] | None = None) -> None:
        self.bodies: list[bytes] = []
        self.content_types: set[str] = set()
        self.away = 0
        self._answer = answers or (lambda body: {"stored": body.count(b"\n"), "wrong": 0, "wrong_lines": []})

    def get(self, path: str) -> None:
        assert path == f"/bots/{BOT}"

    def send(self, path: str, body: bytes, content_type: str) -> dict[str, Any]:
        assert path == f"/bots/{BOT}/chats/import"
        if self.away:
            self.away -= 1
            raise NotNow("nothing answers")
        self.bodies.append(body)
        self.content_types.add(content_type)
        return self._answer(body)


def imported(client: ListClient, file: Path, sleeps: list[float] | None = None) -> dict[str, int]:
    slept: list[float] = [] if sleeps is None else sleeps
    return import_file(cast("Client", client), BOT, file, sleep=slept.append)


def test_a_list_in_csv_goes_in_pieces_each_with_the_header(tmp_path: Path) -> None:
    file, client = tmp_path / "chats.csv", ListClient()
    file.write_text("chat_id\n" + "".join(f"{number}\n" for number in range(1, 2 * LINES + 6)))

    imported(client, file)

    assert client.content_types == {"text/csv"}
    assert [body.count(b"\n") - 1 for body in client.bodies] == [LINES, LINES, 5]
    assert {body.partition(b"\n")[0] for body in client.bodies} == {b"chat_id"}
    lines = [line for body in client.bodies for line in body.splitlines()[1:]]
    assert lines == [str(number).encode() for number in range(1, 2 * LINES + 6)]


class ReadingClient(ListClient):
    """An API that reads lists as the real one does, and keeps what it stored."""

    def __init__(self) -> None:
        super().__init__(self._read)
        self.stored: list[ChatFacts] = []

    async def set_facts(self, bot_id: int, facts: Sequence[ChatFacts]) -> None:
        self.stored += facts

    def _read(self, body: bytes) -> dict[str, Any]:
        async def chunks() -> AsyncIterator[bytes]:
            yield body

        needed = cast("Dependencies", SimpleNamespace(chats=self, clock=lambda: 0))
        (content_type,) = self.content_types
        return asyncio.run(ChatImport(needed, BOT).run(lines_of(chunks()), content_type)).model_dump()


HEADS = ["chat_id,title", '"chat_id","title"', "\ufeffchat_id,title", "\n\nchat_id,title", "\ufeff\n \r\nchat_id,title"]
CELLS = ["7,Anna", '8,"Anna, B."', "", "  ", '9,"a', 'b"', "10", "\ufeff11,C", '12,"say ""hi"""']


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from(HEADS), lines=st.lists(st.sampled_from(CELLS), max_size=9), at_once=st.integers(1, 4))
def test_a_list_in_pieces_is_read_as_the_whole_of_it(
    tmp_path: Path, end: str, head: str, lines: list[str], at_once: int
) -> None:
    file, whole, pieces = tmp_path / "chats.csv", ReadingClient(), ReadingClient()
    file.write_bytes("\n".join([head, *lines]).replace("\r", "").replace("\n", end).encode())

    said = []
    for client, size in ((whole, LINES), (pieces, at_once)):
        with patched_lines(size), redirect_stderr(StringIO()) as printed:
            total = imported(client, file)
        named = [line for line in printed.getvalue().splitlines() if line.startswith("line ")]
        said.append((total, client.stored, named))

    assert said[0] == said[1]
    assert said[0][0]["stored"] == sum(line in {"7,Anna", '8,"Anna, B."', '12,"say ""hi"""'} for line in lines)


@pytest.mark.parametrize("before", ["\n", "\ufeff\n\n"])
def test_json_lines_are_recognised_after_empty_lines(tmp_path: Path, before: str) -> None:
    file, client = tmp_path / "chats", ReadingClient()
    file.write_text(before + '{"chat_id": 7}\n{"chat_id": 8}')

    assert imported(client, file) == {"stored": 2, "wrong": 0}


@contextmanager
def patched_lines(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(file_import, "LINES", size)
        yield


def test_json_lines_are_recognised_by_their_first_character(tmp_path: Path) -> None:
    file, client = tmp_path / "chats", ListClient()
    file.write_text('\ufeff{"chat_id": 7}\n{"chat_id": 8}')

    assert imported(client, file) == {"stored": 2, "wrong": 0}
    assert client.content_types == {"application/x-ndjson"}


@pytest.mark.parametrize(("head", "wrong_at"), [("chat_id\n", 2), ("", 1)])
def test_wrong_lines_are_named_by_their_number_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str, wrong_at: int
) -> None:
    wrong = [{"line": wrong_at, "reason": "it is odd"}]  # the first line of each piece
    file, client = tmp_path / "chats", ListClient(lambda _: {"stored": 0, "wrong": 2, "wrong_lines": wrong})
    file.write_text(head + '{"chat_id": 7}\n' * (LINES + 1))

    total = imported(client, file)

    said = capsys.readouterr().err.splitlines()
    first = wrong_at
    assert total == {"stored": 0, "wrong": 4}
    assert f"line {first:,}: it is odd" in said
    assert f"line {first + LINES:,}: it is odd" in said
    assert sum(line.startswith("and 1 more") for line in said) == 2


def test_a_piece_is_sent_again_until_the_api_answers(tmp_path: Path) -> None:
    file, client, sleeps = tmp_path / "chats", ListClient(), list[float]()
    file.write_text("chat_id\n7\n")
    client.away = 3

    imported(client, file, sleeps)

    assert len(client.bodies) == 1
    assert sleeps == [1, 2, 4]


def test_an_api_that_stays_away_ends_the_import(tmp_path: Path) -> None:
    file, client = tmp_path / "chats", ListClient()
    file.write_text("chat_id\n7\n")
    client.away = TRIES

    with pytest.raises(CallFailed, match="nothing answers"):
        imported(client, file)


def test_a_line_without_end_does_not_fill_the_memory_and_counts_as_one(tmp_path: Path) -> None:
    file, client = tmp_path / "chats", ListClient()
    file.write_bytes(b"chat_id,title\n7," + b"x" * 5_000_000 + b"\n8,Anna\n")

    imported(client, file)

    lines = client.bodies[0].splitlines()
    assert [len(line) for line in lines] == [13, 64 << 10, 6]


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read \(No such file or directory\)"):
        imported(ListClient(), tmp_path / "none.csv")
