from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import Connection

from tempogram.engine.model.errors import LedgerError
from tempogram.storage.database.at_end import at_end
from tempogram.storage.database.group_commit import GroupCommit


class ListWriter:
    """A connection that lives for ever, and a list of what was written."""

    def __init__(self) -> None:
        self.connection = cast("Connection", SimpleNamespace(info={}))
        self.written: list[str] = []

    async def transact(self, work: object) -> None:
        assert callable(work)
        work(self.connection)

    async def close(self) -> None:
        pass


@pytest.fixture
def writer() -> ListWriter:
    return ListWriter()


def verbs(writer: ListWriter) -> SimpleNamespace:
    def last(_connection: Connection, items: Sequence[str]) -> None:
        writer.written.append(f"last {' '.join(items)}")

    def one(connection: Connection, items: Sequence[str]) -> list[None]:
        writer.written.append(f"one {' '.join(items)}")
        at_end(connection, last, items)
        if "wrong" in items:
            raise ValueError("a wrong item")
        return [None] * len(items)

    def other(connection: Connection, items: Sequence[str]) -> list[None]:
        writer.written.append(f"other {' '.join(items)}")
        at_end(connection, last, items)
        return [None] * len(items)

    return SimpleNamespace(one=one, other=other)


async def test_what_several_verbs_leave_for_the_end_is_written_once_and_last(writer: ListWriter) -> None:
    commits, does = GroupCommit(writer), verbs(writer)

    await asyncio.gather(
        commits.write(does.one, ["a"]), commits.write(does.other, ["b"]), commits.write(does.one, ["c"])
    )

    assert writer.written == ["one a c", "other b", "last a c b"]


async def test_what_a_transaction_that_failed_has_left_is_not_written_by_the_next_one(writer: ListWriter) -> None:
    commits, does = GroupCommit(writer), verbs(writer)

    with pytest.raises(LedgerError):
        await commits.write(does.one, ["wrong"])
    await commits.write(does.other, ["b"])

    assert writer.written == ["one wrong", "other b", "last b"]


async def test_work_that_is_alone_leaves_for_the_end_too(writer: ListWriter) -> None:
    commits, does = GroupCommit(writer), verbs(writer)

    await commits.alone(lambda connection: does.one(connection, ["a"]))

    assert writer.written == ["one a", "last a"]
