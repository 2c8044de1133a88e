"""A second Ctrl-C: SIGINT or SIGTERM while the program ends already."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def second_signal(then: Callable[[], None]) -> Iterator[None]:
    """Call ``then`` in the running loop at each such signal inside the block, whatever handler the program has.

    aiogram never removes the handlers that it adds to the loop, and these do nothing once polling has stopped. One that
    Python itself calls works beside them. Outside of the main thread, which alone gets signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def note(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(then)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not set by Python
