"""``tempogram.map_limited``: a function over many items, so many at once."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from tempogram.bot.embedding import current
from tempogram.bot.embedding.sweeps import InEnginesLoop
from tempogram.engine.bulk.journal import Durable
from tempogram.engine.bulk.map_limited import CONCURRENCY, Bulk, BulkOptions, Progress
from tempogram.engine.bulk.results import BulkCounts
from tempogram.engine.bulk.source import Items
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.model.messages import Guarantee

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
R = TypeVar("R")


def map_limited(
    fn: Callable[[T], Awaitable[R]],
    items: Items[T],
    concurrency: int = CONCURRENCY,
    *,
    failures_max: int | None = None,
    progress: str | Progress | None = None,
    name: str | None = None,
    guarantee: Guarantee | str = Guarantee.AT_LEAST_ONCE,
    key: Callable[[T], str | int] | None = None,
) -> Bulk[T, R]:
    """Call a function for each item, so many at once.

    ``await`` it for a report of all items, or take each one as it ends, in any order, by ``async for``, which keeps
    none of them. An item that fails or hangs costs the others nothing. Cancelling the caller, or leaving ``async
    for``, cancels what is under way and closes the items' generator.

    With a name it goes on after a kill: called again with the same items in the same order, it does not do again what
    was noted as done or failed. Done again is what was under way at the kill, and what ended in the last moments
    before it (50 ms and a commit, and at most 1,000 items). With ``guarantee="at_most_once"`` each item is noted
    before it begins, and what was under way is reported and not done again. Once all have ended, nothing is done
    again under the name for 90 days. The last call for a name is the one that goes on; one before it ends.

    It may be used in any event loop, in which ``fn`` runs. Without a name it needs no engine.

    Args:
        fn: Gets an item; what it raises is collected.
        items: Anything that can be iterated, also asynchronously, and ``batches(…)``. It is not read further ahead
            than ``concurrency``.
        concurrency: Items under way at once.
        failures_max: Beyond so many failures of this call nothing new begins, and ``TooManyFailures`` is raised when
            what is under way has ended. None: no limit.
        progress: A title for a bar, which is drawn on a terminal only; or what gets ``BulkCounts`` after each item.
        name: Of this bulk and no other: ``campaign-7``.
        guarantee: What happens to items that were under way at a kill.
        key: What tells an item of a named bulk from others, such as ``lambda contact: contact.id``. Other items than
            before are refused. None: texts, whole numbers and lists of them are compared, others are not.

    Raises:
        TooManyFailures: See ``failures_max``; its ``report`` is of all that has ended.
        BulkError: The items could not be read further, or not be noted, or another call goes on with the name.
        SettingsError: What is asked for makes no sense, or the items are not those of the call before.
        LedgerError: The database cannot be reached, and nothing was begun. Call it again to go on.
        RuntimeError: There is a name, and no engine runs.
    """
    if isinstance(progress, str):
        progress = _bar(progress)
    durable = None if name is None else _durable(name, Guarantee(guarantee))
    if durable is None and guarantee != Guarantee.AT_LEAST_ONCE:
        raise SettingsError(f"{guarantee} needs a name, under which is noted what has begun")
    return Bulk(
        fn,
        items,
        BulkOptions(concurrency=concurrency, failures_max=failures_max, progress=progress, key=key, durable=durable),
    )


def _durable(name: str, guarantee: Guarantee) -> Durable:
    engine = current.engine()
    return Durable(name=name, store=InEnginesLoop(engine), clock=engine.dependencies.clock, guarantee=guarantee)


def _bar(title: str) -> Progress | None:
    """Return what draws a bar, if there is a terminal to draw it on."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return Bar(title, Console(stderr=True))


class Bar:
    """A bar on a terminal, from the first counts to the last."""

    def __init__(self, title: str, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._bar = Progress(*columns, TextColumn("{task.fields[failed]}"), console=console)
        self._task = self._bar.add_task(title, total=None, failed="")

    def __call__(self, counts: BulkCounts) -> None:
        self._bar.start()
        failed = f"{counts.failed} failed" if counts.failed else ""
        self._bar.update(self._task, completed=counts.ended, total=counts.total, failed=failed)
        if counts.is_over:
            self._bar.stop()
