from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.sweep import SweepOverdue, SweepRow, Swept, sweep
from tests.virtual_time import LoopClock, in_virtual_time

ITEMS = [f"tweet{number:03}" for number in range(120)]


class MemorySweeps:
    def __init__(self) -> None:
        self.rows: dict[str, SweepRow] = {}

    async def sweep(self, name: str) -> SweepRow | None:
        return self.rows.get(name)

    async def note(self, row: SweepRow) -> None:
        self.rows[row.name] = row


class Checker:
    """Notes what it checks and when; it is killed in its chunk of a number."""

    def __init__(self, *, killed_in: int = 0) -> None:
        self.chunks: list[Sequence[str]] = []
        self.at_s: list[float] = []
        self._killed_in = killed_in

    async def check(self, chunk: Sequence[str]) -> None:
        self.at_s.append(asyncio.get_running_loop().time())
        self.chunks.append(chunk)
        if len(self.chunks) == self._killed_in:
            raise ConnectionError("killed")


async def swept(store: MemorySweeps, checker: Checker, items: Sequence[str] = ITEMS, **options: Any) -> Swept:
    clock = LoopClock(asyncio.get_running_loop())
    return await sweep("round-7", items, checker.check, store=store, clock=clock, **options)


def test_a_sweep_goes_through_all_items_in_chunks_with_a_pause_between() -> None:
    checker = Checker()

    report = in_virtual_time(swept(MemorySweeps(), checker))

    assert [len(chunk) for chunk in checker.chunks] == [50, 50, 20]
    assert checker.at_s == [0, 1, 2]
    assert report == Swept(total=120, resumed_at=0, seconds=2.0)


def test_a_sweep_that_was_killed_goes_on_with_the_chunk_in_which_it_was() -> None:
    store, second = MemorySweeps(), Checker()

    with pytest.raises(ConnectionError):
        in_virtual_time(swept(store, Checker(killed_in=2)))
    report = in_virtual_time(swept(store, second))

    assert [chunk[0] for chunk in second.chunks] == ["tweet050", "tweet100"]
    assert (report.total, report.resumed_at) == (120, 50)


def test_a_sweep_goes_on_behind_its_last_item_though_items_before_it_are_gone() -> None:
    store, second = MemorySweeps(), Checker()
    with pytest.raises(ConnectionError):
        in_virtual_time(swept(store, Checker(killed_in=2)))

    in_virtual_time(swept(store, second, ITEMS[7:]))

    assert second.chunks[0][0] == "tweet050"


def test_a_sweep_that_has_ended_checks_nothing_again() -> None:
    store, second = MemorySweeps(), Checker()
    in_virtual_time(swept(store, Checker()))

    report = in_virtual_time(swept(store, second))

    assert second.chunks == []
    assert report.total == 120


def test_a_sweep_that_is_not_at_its_end_at_its_deadline_says_how_far_it_is_and_goes_on_later() -> None:
    store, second = MemorySweeps(), Checker()

    with pytest.raises(SweepOverdue, match="sweep round-7 had gone through 100 of 120 at its deadline"):
        in_virtual_time(swept(store, Checker(), deadline_s=1.5))
    in_virtual_time(swept(store, second))

    assert [chunk[0] for chunk in second.chunks] == ["tweet100"]


@pytest.mark.parametrize("options", [{"chunk": 0}, {"pause_s": -1}])
def test_a_sweep_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        in_virtual_time(swept(MemorySweeps(), Checker(), **options))


def test_a_sweep_of_nothing_ends_at_once() -> None:
    assert in_virtual_time(swept(MemorySweeps(), Checker(), [])).total == 0
