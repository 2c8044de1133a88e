"""A second Ctrl-C reaches us whatever handlers the program and aiogram have left."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
import uvloop

from tempogram.bot.embedding.second_signal import SIGNALS, second_signal


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Give the signals their handlers back, which a loop may leave changed."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_inside_the_block_is_heard_beside_a_dead_handler_of_aiograms(
    new_loop: Callable[[], asyncio.AbstractEventLoop], number: signal.Signals
) -> None:
    dead: list[str] = []

    async def main() -> bool:
        heard = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(number, dead.append, "aiogram's")
        with second_signal(heard.set):
            os.kill(os.getpid(), number)
            async with asyncio.timeout(10):
                return await heard.wait()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main())


async def test_the_programs_own_handler_is_there_again_after_the_block() -> None:
    def own(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        with second_signal(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is not own
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_of_the_main_thread_nothing_is_changed() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    inside: list[object] = []

    async def main() -> None:
        with second_signal(lambda: None):
            inside.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()

    assert inside == before
