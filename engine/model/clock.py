"""What time it is, as a value that is passed in."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns milliseconds since the epoch, rounded down, and never steps back."""


SET_BACK_MS = 1_000
"""By how much a clock must be behind to have been set back. Less is slewed away, or is how far two clocks differ."""


class SystemClock:
    """The machine's clock at the start, and monotonic from then on: a window must not jump with NTP."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        return (self._offset_ns + time.monotonic_ns()) // 1_000_000
