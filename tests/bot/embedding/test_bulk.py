"""``tempogram.map_limited``, in a program that runs and without one."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Sequence

import pytest
from rich.console import Console

import tempogram
from tempogram import Guarantee, batches, map_limited
from tempogram.bot.embedding import current
from tempogram.bot.embedding.bulk import Bar
from tempogram.engine.bulk.results import BulkCounts
from tempogram.engine.model.errors import SettingsError
from tests.bot.embedding.started import Engine

CONTACTS = [f"+1{number:03}" for number in range(40)]


class Sms:
    """Notes what was sent and in which thread; it hangs from the ``hangs_at``-th on."""

    def __init__(self, hangs_at: int | None = None) -> None:
        self.sent: list[str] = []
        self.threads: set[int] = set()
        self.hangs = asyncio.Event()
        self._hangs_at = hangs_at

    async def __call__(self, contact: str) -> str:
        self.threads.add(threading.get_ident())
        if self._hangs_at is not None and len(self.sent) >= self._hangs_at:
            self.hangs.set()
            await asyncio.Event().wait()
        self.sent.append(contact)
        return f"to {contact}"

    async def until_hanging(self) -> None:
        async with asyncio.timeout(20):
            await self.hangs.wait()


async def unused(_: Sequence[str]) -> None:
    raise AssertionError("nothing is to be checked")


async def test_without_a_name_no_engine_is_needed() -> None:
    report = await map_limited(Sms(), CONTACTS)

    assert report.results == [f"to {contact}" for contact in CONTACTS]


async def test_a_call_of_a_service_passes_its_limits(engine: Engine) -> None:
    async def send(contact: str) -> str:
        return await tempogram.services.call("database", "queries", Sms(), contact)

    report = await map_limited(send, CONTACTS)

    assert report.counts.done == 40


async def test_a_named_one_goes_on_after_it_was_cancelled(engine: Engine) -> None:
    first, second = Sms(hangs_at=20), Sms()
    running = asyncio.ensure_future(map_limited(first, CONTACTS, name="campaign-7"))
    await first.until_hanging()
    running.cancel()
    await asyncio.wait({running})

    report = await map_limited(second, iter(CONTACTS), name="campaign-7")

    assert first.sent + second.sent == CONTACTS
    assert [each.index for each in report.uncertain] == [20, 21, 22, 23, 24]


async def test_at_most_once_does_not_do_again_what_was_under_way(engine: Engine) -> None:
    first, second = Sms(hangs_at=20), Sms()
    running = asyncio.ensure_future(map_limited(first, CONTACTS, name="campaign-8", guarantee="at_most_once"))
    await first.until_hanging()
    running.cancel()
    await asyncio.wait({running})

    report = await map_limited(second, CONTACTS, name="campaign-8", guarantee=Guarantee.AT_MOST_ONCE)

    assert set(first.sent).isdisjoint(second.sent)
    assert {each.item for each in report.uncertain} == {*CONTACTS} - {*first.sent, *second.sent}


async def test_in_another_thread_the_function_runs_in_that_threads_loop(engine: Engine) -> None:
    sms = Sms()

    async def run() -> None:
        await map_limited(sms, CONTACTS, name="campaign-9")

    await asyncio.to_thread(lambda: asyncio.run(run()))

    assert threading.get_ident() not in sms.threads
    row = await engine.built.storage.sweeps.sweep("campaign-9")
    assert row is not None
    assert (row.done, row.ended_ms > 0) == (40, True)


async def test_batches_have_a_name_too(engine: Engine) -> None:
    async def update(batch: list[str]) -> int:
        return len(batch)

    report = await map_limited(update, batches(CONTACTS, 15, pause_ms=1), name="update-1")

    assert report.results == [15, 15, 10]


async def test_the_names_of_sweeps_and_bulks_are_not_mixed_up(engine: Engine) -> None:
    await map_limited(Sms(), CONTACTS, name="campaign-10")

    with pytest.raises(SettingsError, match="campaign-10 is the name of a bulk; give the sweep another one"):
        await tempogram.sweep("campaign-10", CONTACTS, unused)


async def test_with_a_name_and_without_an_engine_it_says_so() -> None:
    with pytest.raises(RuntimeError) as refused:
        map_limited(Sms(), CONTACTS, name="campaign-11")

    assert str(refused.value) == current.NOT_RUNNING


async def test_at_most_once_needs_a_name() -> None:
    with pytest.raises(SettingsError, match="at_most_once needs a name"):
        map_limited(Sms(), CONTACTS, guarantee="at_most_once")


async def test_nothing_is_printed_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal

    await map_limited(Sms(), CONTACTS, progress="Sending")

    assert capsys.readouterr() == ("", "")


def test_a_bar_shows_how_many_have_ended_and_failed() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    bar = Bar("Sending", console)

    bar(BulkCounts(total=40, done=11, before=20, failed=2))
    bar(BulkCounts(total=40, done=18, before=20, failed=2, is_over=True))

    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Sending" in drawn
    assert "40/40" in drawn
    assert "2 failed" in drawn


async def test_without_a_bar_none_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)

    await map_limited(Sms(), CONTACTS)
