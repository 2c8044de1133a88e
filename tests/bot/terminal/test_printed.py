"""What modules print while the screen is open."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tempogram.bot.terminal.printed import BEGUN_MAX, LogLines, Printed
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


def test_what_never_has_an_end_of_line_is_shown_in_pieces(emulator: Emulator, screen: Screen) -> None:
    printed = Printed(screen, io.StringIO())

    for _ in range(2 * BEGUN_MAX):
        print(".", end="", file=printed)
    screen.draw()

    assert "".join(emulator.everything) == "." * (BEGUN_MAX + 1)


def test_a_module_may_use_what_else_a_stream_of_python_has(screen: Screen) -> None:
    original = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    printed: Any = Printed(screen, original)

    printed.reconfigure(encoding="utf-8")

    assert (original.encoding, printed.encoding, printed.buffer) == ("utf-8", "utf-8", original.buffer)
    assert not hasattr(printed, "no_such_thing")


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
