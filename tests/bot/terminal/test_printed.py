"""What modules print while the screen is open."""

from __future__ import annotations

import io

import pytest

from tempogram.bot.terminal.printed import LogLines, Printed
from tempogram.bot.terminal.screen import Screen
from tests.bot.terminal.emulator import Emulator
from tests.fakes import Clock


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def screen(emulator: Emulator, clock: Clock) -> Screen:
    return Screen(emulator.terminal, clock=clock)


def test_a_printed_line_is_a_line_of_the_screen(emulator: Emulator, screen: Screen) -> None:
    print("one\ntwo", 3, file=Printed(screen, io.StringIO()))
    screen.draw()

    assert emulator.shown == ["one", "two 3"]


def test_what_has_no_end_of_line_is_shown_when_it_is_flushed(emulator: Emulator, screen: Screen) -> None:
    printed = Printed(screen, io.StringIO())

    printed.write("(Pdb) ")
    screen.draw()
    before = emulator.shown
    printed.flush()
    screen.draw()

    assert (before, emulator.shown) == ([], ["(Pdb)"])


def test_after_the_end_of_the_screen_everything_goes_to_the_original(screen: Screen) -> None:
    original = io.StringIO()
    printed, logged = Printed(screen, original), LogLines(screen, original)
    screen.start()
    screen.close()

    printed.write("printed\n")
    logged.write("logged\n")

    assert original.getvalue() == "printed\nlogged\n"


def test_a_log_line_with_its_traceback_is_one_of_those_that_are_counted(emulator: Emulator, screen: Screen) -> None:
    logged = LogLines(screen, io.StringIO())

    for number in range(60):
        logged.write(f"failed {number}\nTraceback\n")
    screen.draw()

    assert len(emulator.everything) == 100
