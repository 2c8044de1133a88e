"""The lines on the terminal, and the footer below them."""

from __future__ import annotations

import threading

import pytest
from rich.text import Text

from tempogram.bot.terminal.flow import Kind
from tempogram.bot.terminal.screen import LINES_MAX, Line, Screen, Terminal
from tests.bot.terminal.emulator import Emulator
from tests.fakes import Clock

ADDRESS = "Tempogram http://127.0.0.1:8000"
SIMULATED = "  simulated Telegram http://127.0.0.1:8081"


def screen_on(emulator: Emulator, clock: Clock) -> Screen:
    return Screen(emulator.terminal, clock=clock, footer=lambda _: [Text(ADDRESS, "bold"), Text(SIMULATED)])


def line(text: str, kind: Kind = Kind.SENT) -> Line:
    return Line(kind, lambda _: Text(text, "green"))


def test_lines_stand_above_the_footer(clock: Clock) -> None:
    emulator = Emulator()
    screen = screen_on(emulator, clock)

    for number in range(3):
        screen.put(line(f"line {number}"))
        screen.draw()

    assert emulator.shown == ["line 0", "line 1", "line 2", ADDRESS, SIMULATED]


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_the_address_stays_in_sight_whatever_floods_the_screen(clock: Clock, columns: int) -> None:
    emulator = Emulator(columns)
    screen = screen_on(emulator, clock)

    for second in range(20):
        for number in range(50):
            screen.put(line(f"News bot → Anna: sent {second} {number}, and so on and on and on and on"))
        screen.draw()
        clock.advance(1_000)

    assert len(emulator.scrolled) > 200
    assert emulator.shown[-2].startswith(ADDRESS[: columns - 2])
    assert sum(row.startswith("Tempogram") for row in emulator.everything) == 1


def test_fifty_messages_in_a_second_are_a_dozen_lines_and_a_count(clock: Clock) -> None:
    emulator = Emulator()
    screen = screen_on(emulator, clock)

    for number in range(50):
        screen.put(line(f"line {number}"))
    screen.draw()
    clock.advance(1_000)
    screen.draw()

    assert emulator.shown[:13] == [f"line {number}" for number in range(12)] + [
        "… and 38 more in this second (38 sent)"
    ]


def test_a_line_that_is_too_long_for_the_terminal_is_cut(clock: Clock) -> None:
    emulator = Emulator(30)
    screen = screen_on(emulator, clock)

    screen.put(line("x" * 100))
    screen.draw()

    assert emulator.shown[0] == "x" * 28 + "…"


def test_a_terminal_that_is_too_small_has_no_footer(clock: Clock) -> None:
    emulator = Emulator(80, 6)
    screen = screen_on(emulator, clock)

    screen.put(line("line"))
    screen.draw()

    assert emulator.shown == ["line"]


def test_a_terminal_that_becomes_wider_shows_more(clock: Clock) -> None:
    emulator = Emulator(30)
    screen = screen_on(emulator, clock)
    screen.draw()

    emulator.columns = 60
    screen.put(line("y" * 50))
    screen.draw()

    assert emulator.shown[0] == "y" * 50


def test_nothing_new_writes_nothing(clock: Clock) -> None:
    emulator = Emulator()
    screen = screen_on(emulator, clock)
    screen.draw()
    emulator.writes.clear()

    screen.draw()

    assert emulator.writes == []


def test_where_there_is_no_terminal_lines_have_neither_colours_nor_a_footer(clock: Clock) -> None:
    emulator = Emulator(500, 0, is_live=False)
    screen = screen_on(emulator, clock)

    screen.put(line("line"))
    screen.draw()

    assert emulator.writes == ["line\n"]


def test_NO_COLOR_leaves_the_colours_out(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: N802
    monkeypatch.setenv("TERM", "xterm-256color")
    written = []
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        emulator = Emulator()
        screen = Screen(emulator.terminal, clock=clock)
        screen.put(line("line"))
        screen.draw()
        written.append(emulator.writes[0])

    assert written == ["\x1b[32mline\x1b[0m\n", "line\n"]


def test_a_line_that_cannot_be_drawn_does_not_end_the_others(clock: Clock) -> None:
    def broken(_: int) -> Text:
        raise KeyError

    emulator = Emulator()
    screen = Screen(emulator.terminal, clock=clock)
    screen.put(Line(Kind.SENT, broken))
    screen.put(line("line"))
    screen.draw()

    assert emulator.shown == ["(a line cannot be shown: KeyError)", "line"]


def test_a_terminal_that_takes_nothing_holds_up_no_caller_and_what_it_misses_is_counted(clock: Clock) -> None:
    emulator, blocked, taking = Emulator(), threading.Event(), threading.Event()

    def write(text: str) -> None:
        blocked.set()
        taking.wait(10)
        emulator.write(text)

    screen = Screen(Terminal(write, lambda: (80, 24), is_live=True), clock=clock)
    screen.put(line("the first line"))
    screen.start()
    blocked.wait(10)
    for number in range(LINES_MAX + 7):
        screen.put(line(f"line {number}"))
    taking.set()
    screen.close()

    assert emulator.shown[0] == "the first line"
    assert emulator.shown[-2:] == [
        "… and 7 more, which this terminal was too slow for",
        "… and 4,989 more in this second (4,989 sent)",
    ]


def test_the_end_shows_what_is_left_and_takes_the_footer_away(clock: Clock) -> None:
    emulator = Emulator()
    screen = screen_on(emulator, clock)
    screen.start()

    screen.put(line("the last line"))
    screen.close()

    assert emulator.shown == ["the last line"]
    assert screen.is_closed


def test_a_terminal_that_takes_nothing_cannot_block_the_thread_that_ends_the_program(clock: Clock) -> None:
    writers: set[int] = set()
    terminal = Terminal(lambda _: writers.add(threading.get_ident()), lambda: (80, 24), is_live=True)
    screen = Screen(terminal, clock=clock, footer=lambda _: [Text(ADDRESS)])
    screen.start()

    screen.put(line("the last line"))
    screen.close()

    assert len(writers) == 1
    assert threading.get_ident() not in writers


def test_what_is_not_shown_of_the_last_second_is_counted_at_the_end(clock: Clock) -> None:
    emulator = Emulator()
    screen = screen_on(emulator, clock)
    screen.start()

    for number in range(20):
        screen.put(line(f"line {number}"))
    screen.close()

    assert emulator.shown[-1] == "… and 8 more in this second (8 sent)"
