"""What came of an item, of all of them, and what may go wrong with the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tempogram.engine.model.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class BulkItem(Generic[T, R]):
    """One item that has ended.

    Attributes:
        index: Its position among all items; the first is 0.
        result: What the function returned; None if it failed.
        error: What it raised, unchanged. ``FailedBefore`` or ``ItemUncertain`` if it was not called now.
        was_under_way: It had begun when a call before this one was killed or cancelled.
    """

    index: int
    item: T
    result: R | None = None
    error: BaseException | None = None
    was_under_way: bool = False

    @property
    def is_uncertain(self) -> bool:
        """Whether it is not known if it was done; then it is not done again."""
        return isinstance(self.error, ItemUncertain)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkCounts:
    """How far it is.

    Attributes:
        total: Items there are; None: the source does not say.
        under_way: Items that have begun and not ended.
        done: Items that succeeded in this call.
        failed: Items that failed, in calls before this one, too.
        uncertain: Items that were under way at a kill, and are not done again.
        before: Items that succeeded in calls before this one.
        is_over: Nothing more will end.
    """

    total: int | None = None
    under_way: int = 0
    done: int = 0
    failed: int = 0
    uncertain: int = 0
    before: int = 0
    is_over: bool = False

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.uncertain + self.before


@dataclass(frozen=True, kw_only=True)
class BulkReport(Generic[T, R]):
    """What came of all items.

    Attributes:
        results: One for each item, in the order of the items; None for those that failed, and for those of calls
            before this one. Empty where items were taken by ``async for``.
        failures: Items that failed, in the order of the items.
        uncertain: Items that were under way when a call before this one was killed or cancelled. They were done
            again, by it or by a later one, unless their guarantee is at most once.
    """

    results: Sequence[R | None] = ()
    failures: Sequence[BulkItem[T, R]] = ()
    uncertain: Sequence[BulkItem[T, R]] = ()
    counts: BulkCounts


class BulkError(EngineError):
    """It ended before all items had. ``report`` has what came of the others; call a named one again to go on."""

    def __init__(self, sentence: str, report: BulkReport[Any, Any]) -> None:
        super().__init__(sentence)
        self.report = report


class TooManyFailures(BulkError):
    """More items failed than ``failures_max``. Nothing new was begun then, and what was under way has ended."""


class FailedBefore(EngineError):
    """The item failed in a call before this one; its sentence has the error of then."""


class ItemUncertain(EngineError):
    """The item was under way when a call before this one was killed or cancelled; it is not done again."""

    def __init__(self) -> None:
        super().__init__("it was under way when the call before this one ended; whether it was done is not known")
