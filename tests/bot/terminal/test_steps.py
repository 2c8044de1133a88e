"""What is said of a start that takes long."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tempogram.bot.terminal import steps
from tempogram.bot.terminal.steps import step


@pytest.fixture(autouse=True)
def silent_again() -> Iterator[None]:
    yield
    steps.show(None)


def test_a_step_that_takes_more_than_a_moment_is_said_while_it_lasts() -> None:
    said: list[str] = []
    is_said = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        is_said.set()

    steps.show(say)
    with step("waits for Redis", after_s=0):
        assert is_said.wait(10)

    assert said == ["  … waits for Redis\n"]


def test_a_step_that_is_over_in_a_moment_is_not_said() -> None:
    said: list[str] = []
    steps.show(said.append)

    with step("waits for Redis", after_s=3_600):
        timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(10)

    assert len(timers) == 1
    assert said == []


def test_a_step_that_comes_twice_is_said_once() -> None:
    said: list[str] = []
    steps.show(said.append)

    for _ in range(2):
        with step("imports its modules", after_s=0):
            for thread in threading.enumerate():
                if isinstance(thread, threading.Timer):
                    thread.join(10)

    assert said == ["  … imports its modules\n"]


def test_without_a_terminal_a_step_starts_no_thread() -> None:
    before = threading.active_count()

    with step("waits for Redis", after_s=3_600):
        assert threading.active_count() == before
