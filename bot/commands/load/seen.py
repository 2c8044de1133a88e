"""What became of requests, in a memory that does not grow with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tempogram.bot.commands.load.plan import Bounds
from tempogram.engine.services.checking.fullest_window import FullestWindow
from tempogram.engine.services.checking.spread import Spread

ENOUGH = 10
"""A limit that was broken so many times over is broken; what comes after is not kept."""

TOO_MANY = 429


@dataclass(slots=True)
class Seen:
    """What became of the requests so far.

    Attributes:
        begun: Requests; those that have not ended were cut off.
        statuses: How many answers had each.
        unanswered: How many had none, by the reason.
        latency: Until the whole answer was read, or time was up; in an open loop from the planned beginning.
        late: How much later than planned requests began.
        window: Of answers that are not 429.
        took_s: From the beginning to the last end.
    """

    bounds: Bounds
    begun: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    latency: Spread = field(default_factory=Spread)
    late: Spread = field(default_factory=Spread)
    took_s: float = 0.0
    is_interrupted: bool = False
    window: FullestWindow = field(init=False)

    def __post_init__(self) -> None:
        self.window = FullestWindow(self.bounds.window_s)

    def answer(self, status: int, *, planned_s: float, began_s: float, ended_s: float) -> None:
        self.statuses[status] += 1
        self.latency.add(ended_s - planned_s)
        limit = self.bounds.limit
        if limit is not None and status != TOO_MANY and self.window.most < ENOUGH * limit:
            self.window.add(began_s, ended_s)

    @property
    def answered(self) -> int:
        return self.statuses.total()

    @property
    def ended(self) -> int:
        return self.answered + self.unanswered.total()

    @property
    def let_through(self) -> int:
        return self.answered - self.statuses[TOO_MANY]

    @property
    def errors(self) -> int:
        refused = sum(count for status, count in self.statuses.items() if status >= 400 and status != TOO_MANY)
        return refused + self.unanswered.total()
