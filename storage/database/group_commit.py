"""Group commit: what many callers write goes into one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.engine.resilience.batcher import Batcher
from tempogram.storage.database.at_end import forget_collected, write_collected
from tempogram.storage.database.driver_errors import as_ledger_error, is_unavailable

ITEMS_MAX = 500
"""In one transaction; a call that has more gets its own. untuned: some 10 ms of SQLite's time."""

ENOUGH = 64
GATHER_S = 0.005
"""Under load, patient writes wait this long, or until there are enough of them: the fixed cost of a transaction is then
shared by more items. untuned: it must be short, as a lease waits for its record."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Verb = Callable[[Connection, Sequence[Item]], Sequence[Answer]]
"""Writes items in an open transaction, and returns one answer for each, in their order."""


class Writer(Protocol):
    """The one connection that writes."""

    async def transact(self, work: Callable[[Connection], None]) -> None:
        """Run the work in one transaction and commit; on any error roll back and raise it.

        An error after the work was done leaves in doubt whether it was committed.
        """

    async def close(self) -> None:
        """Close the connection."""


class GroupCommit:
    """Collects what callers write while a transaction runs, and writes it in the next one.

    1.  A caller adds an entry. There is no delay (see ``Batcher``): an entry that comes alone is a transaction of
        its own. Only patient ones wait, up to ``GATHER_S`` after a transaction with several entries, or until one
        comes that is not patient.
    2.  What waits, up to ``ITEMS_MAX`` items, is performed in one
        transaction. Entries with the same verb are performed together, in their order.
        Different verbs in one transaction come from callers that did not wait for one another, so there
        is no order between them to keep; an entry of ``alone`` keeps it all the same.
    3.  After the commit every caller gets its answers.
    4.  If the work of a transaction fails, and the database is there, each entry is tried by itself,
        so only the callers whose own entries are wrong get the error. If its commit fails, all get
        the error: the answer may have been lost on the way, and trying again would be doing it twice.

    Cancelling a caller does not cancel its write.
    """

    def __init__(self, writer: Writer, *, gather_s: float = GATHER_S) -> None:
        self._writer = writer
        self._gather_s = gather_s
        self._batcher = Batcher(
            self._write_batch, batch_max=ITEMS_MAX, weigh=lambda entry: len(entry.items), on_stop=self._stopped
        )
        self._hurry = asyncio.Event()  # something waits that is not patient, or there is enough of it
        self._closed = False
        self.transactions = 0

    async def write(
        self, verb: Verb[Item, Answer], items: Sequence[Item], *, patient: bool = False
    ) -> Sequence[Answer]:
        """Perform a verb on items and return its answers after the commit.

        Args:
            verb: What writes them.
            items: What is written; nothing is done if there are none.
            patient: It may be written a moment later under load.

        Raises:
            LedgerError: Nothing of these items was written, or, if only the commit's answer was lost, all.
        """
        return await self._submit(verb, items, alone=False, patient=patient) if items else ()

    async def alone(self, work: Callable[[Connection], Answer]) -> Answer:
        """Do work that is merged with no other: what was submitted before it is written before it.

        Raises:
            LedgerError: Nothing was written, or, if only the commit's answer was lost, everything.
            SettingsError: The work raised it. Nothing was written.
        """
        answers = await self._submit(lambda connection, _: [work(connection)], (None,), alone=True, patient=False)
        return answers[0]

    async def close(self) -> None:
        """Write what waits, and refuse what comes after it."""
        if self._closed:
            return
        self._closed = True
        self._hurry.set()
        await self._batcher.emptied()
        await self._writer.close()

    def _submit(
        self, verb: Verb[Any, Answer], items: Sequence[Any], *, alone: bool, patient: bool
    ) -> asyncio.Future[Sequence[Answer]]:
        if self._closed:
            raise LedgerError("the database is closed")
        entry = _Entry(verb, items, asyncio.get_running_loop().create_future(), alone)
        self._batcher.put(entry)
        if not patient or self._batcher.waiting >= ENOUGH:
            self._hurry.set()
        return entry.future

    async def _write_batch(self, entries: list[_Entry]) -> None:
        if not self._batcher.waiting and not self._closed:
            self._hurry.clear()
        is_crowded = len(entries) > 1
        await self._write_together(entries)
        if is_crowded:
            await self._gather()

    async def _gather(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gather_s):
                await self._hurry.wait()

    async def _write_together(self, entries: list[_Entry]) -> None:
        try:
            await self._commit(entries)
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller must get it
            if len(entries) == 1 or entries[-1].performed or is_unavailable(error):
                self._refuse(entries, error)
            else:
                await self._write_one_by_one(entries)
        except BaseException as error:
            self._refuse(entries, error)
            raise

    async def _write_one_by_one(self, entries: list[_Entry]) -> None:
        waiting = deque(entries)
        while waiting:
            entry = waiting.popleft()
            try:
                await self._commit([entry])
            except Exception as error:  # noqa: BLE001 - as above
                self._refuse([entry], error)
                if is_unavailable(error):
                    self._refuse(waiting, error)
                    return
            except BaseException as error:
                self._refuse([entry, *waiting], error)
                raise

    async def _commit(self, entries: list[_Entry]) -> None:
        await self._writer.transact(lambda connection: perform(connection, entries))
        self.transactions += 1
        for entry in entries:
            if not entry.future.done():
                entry.future.set_result(entry.answers)

    def _stopped(self, entries: Sequence[_Entry]) -> None:
        self._refuse(entries, LedgerError("the writing was stopped"))

    @staticmethod
    def _refuse(entries: Iterable[_Entry], error: BaseException) -> None:
        for entry in entries:
            if not entry.future.done():
                entry.future.set_exception(error if isinstance(error, SettingsError) else as_ledger_error(error))


@dataclass(slots=True)
class _Entry:
    verb: Verb[Any, Any]
    items: Sequence[Any]
    future: asyncio.Future[Any]
    alone: bool
    answers: Sequence[Any] = field(default=())
    performed: bool = False


def perform(connection: Connection, entries: Sequence[_Entry]) -> None:
    """Perform each verb once over the items of all entries that have it, up to the next one that is alone.

    What they leave for the end (see ``at_end``) is written last.
    """
    forget_collected(connection)
    groups: dict[Verb[Any, Any], list[_Entry]] = {}
    for entry in entries:
        if entry.alone:
            _perform_groups(connection, groups)
            _perform_groups(connection, {entry.verb: [entry]})
            groups = {}
        else:
            groups.setdefault(entry.verb, []).append(entry)
    _perform_groups(connection, groups)
    write_collected(connection)
    for entry in entries:
        entry.performed = True


def _perform_groups(connection: Connection, groups: dict[Verb[Any, Any], list[_Entry]]) -> None:
    for verb, entries in groups.items():
        answers = verb(connection, [item for entry in entries for item in entry.items])
        start = 0
        for entry in entries:
            entry.answers = answers[start : start + len(entry.items)]
            start += len(entry.items)
