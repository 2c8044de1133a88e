from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import pytest
from sqlalchemy import Connection

from tempogram.engine.model.errors import LedgerError
from tempogram.storage.database.group_commit import ENOUGH, ITEMS_MAX, GroupCommit


class ListWriter:
    """A database that is a list. ``gate`` holds a transaction until it is set; ``asleep`` makes it unreachable."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.info: dict[str, object] = {}
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.asleep = False
        self.loses_answer = False

    async def transact(self, work: Callable[[Connection], None]) -> None:
        await self.gate.wait()
        if self.asleep:
            raise ConnectionRefusedError("no answer")
        before = list(self.rows)
        try:
            work(cast("Connection", self))
        except BaseException:
            self.rows = before
            raise
        self.sizes.append(len(self.rows) - len(before))
        if self.loses_answer:
            raise RuntimeError("the commit's answer was lost")

    async def close(self) -> None:
        pass


def write(connection: Connection, items: Sequence[str]) -> list[str]:
    if "wrong" in items:
        raise ValueError("a wrong item")
    cast("ListWriter", connection).rows += items
    return [item.upper() for item in items]


def write_otherwise(connection: Connection, items: Sequence[str]) -> list[str]:
    return write(connection, items)


async def crowded(writer: ListWriter, *, gather_s: float) -> GroupCommit:
    """Return one whose last transaction had several entries."""
    commits = GroupCommit(writer, gather_s=gather_s)
    await asyncio.gather(commits.write(write, ["x"]), commits.write(write, ["y"]))
    return commits


@pytest.fixture
def writer() -> ListWriter:
    return ListWriter()


@pytest.fixture
def commits(writer: ListWriter) -> GroupCommit:
    return GroupCommit(writer)


async def test_each_caller_gets_the_answers_to_its_own_items(commits: GroupCommit) -> None:
    answers = await asyncio.gather(commits.write(write, ["a", "b"]), commits.write(write, ["c"]))

    assert list(answers) == [["A", "B"], ["C"]]


async def test_writes_that_come_during_a_transaction_share_the_next_one(
    commits: GroupCommit, writer: ListWriter
) -> None:
    writer.gate.clear()
    first = asyncio.ensure_future(commits.write(write, ["a"]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(commits.write(write, [item])) for item in "bcd"]
    await asyncio.sleep(0)
    writer.gate.set()
    await asyncio.gather(first, *others)

    assert writer.sizes == [1, 3]


async def test_a_patient_write_that_comes_alone_does_not_wait(writer: ListWriter) -> None:
    commits = GroupCommit(writer, gather_s=3_600)

    for item in "ab":
        await commits.write(write, [item], patient=True)

    assert writer.sizes == [1, 1]


async def test_under_load_a_patient_write_goes_with_the_next_that_is_not_patient(writer: ListWriter) -> None:
    commits = await crowded(writer, gather_s=3_600)

    patient = [asyncio.ensure_future(commits.write(write, [item], patient=True)) for item in "ab"]
    await asyncio.sleep(0)
    await commits.write(write, ["c"])

    assert writer.rows[-3:] == ["a", "b", "c"]
    assert writer.sizes == [2, 3]
    assert all(each.done() for each in patient)


async def test_under_load_patient_writes_wait_until_there_are_enough(writer: ListWriter) -> None:
    commits = await crowded(writer, gather_s=3_600)

    await asyncio.gather(*(commits.write(write, ["a"], patient=True) for _ in range(ENOUGH)))

    assert writer.sizes == [2, ENOUGH]


async def test_a_patient_write_waits_for_a_moment_at_most(writer: ListWriter) -> None:
    commits = await crowded(writer, gather_s=0)

    await commits.write(write, ["a"], patient=True)

    assert writer.sizes == [2, 1]


async def test_closing_writes_patient_entries_at_once(writer: ListWriter) -> None:
    commits = await crowded(writer, gather_s=3_600)

    patient = asyncio.ensure_future(commits.write(write, ["a"], patient=True))
    await asyncio.sleep(0)
    await commits.close()

    assert await patient == ["A"]


async def test_a_transaction_is_bounded(commits: GroupCommit, writer: ListWriter) -> None:
    await asyncio.gather(*(commits.write(write, ["a"] * 200) for _ in range(5)))

    assert max(writer.sizes) <= ITEMS_MAX


async def test_writing_no_items_makes_no_transaction(commits: GroupCommit, writer: ListWriter) -> None:
    await commits.write(write, [])

    assert writer.sizes == []


async def test_only_the_caller_whose_item_is_wrong_gets_the_error(commits: GroupCommit, writer: ListWriter) -> None:
    answers = await asyncio.gather(
        *(commits.write(write, [item]) for item in ("a", "wrong", "b")), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [list, LedgerError, list]
    assert writer.rows == ["a", "b"]


async def test_a_transaction_that_may_have_been_committed_is_not_repeated(
    commits: GroupCommit, writer: ListWriter
) -> None:
    writer.loses_answer = True

    answers = await asyncio.gather(*(commits.write(write, [item]) for item in "abc"), return_exceptions=True)

    assert [type(answer) for answer in answers] == [LedgerError] * 3
    assert writer.rows == ["a", "b", "c"]


async def test_a_database_that_is_away_refuses_all_callers_at_once(commits: GroupCommit, writer: ListWriter) -> None:
    writer.asleep = True

    answers = await asyncio.gather(*(commits.write(write, [item]) for item in "abc"), return_exceptions=True)

    assert [str(answer) for answer in answers] == ["the database cannot be reached: no answer"] * 3


async def test_a_database_that_came_back_is_written_to_again(commits: GroupCommit, writer: ListWriter) -> None:
    writer.asleep = True
    await asyncio.gather(commits.write(write, ["a"]), return_exceptions=True)

    writer.asleep = False
    await commits.write(write, ["b"])

    assert writer.rows == ["b"]


async def test_a_write_that_is_alone_keeps_its_order(commits: GroupCommit, writer: ListWriter) -> None:
    await asyncio.gather(
        commits.write(write, ["a"]),
        commits.write(write_otherwise, ["b"]),
        commits.alone(lambda connection: write(connection, ["c"])),
        commits.write(write, ["d"]),
        commits.write(write_otherwise, ["e"]),
    )

    assert writer.rows == ["a", "b", "c", "d", "e"]


async def test_after_closing_every_caller_is_refused(commits: GroupCommit) -> None:
    await commits.close()

    with pytest.raises(LedgerError, match="the database is closed"):
        await commits.write(write, ["a"])
