"""The demo's progress display."""

from __future__ import annotations

import io

from rich.console import Console

from tempogram.bot.demo.progress import LINE_EVERY_S, Progress, Screen, drawn


def moment(at_s: float, *, is_down: bool = False) -> Progress:
    waiting = None if is_down else {"high": 1, "normal": 20, "low": 300, "retry": 2, "dlq": 1}
    return Progress(at_s=at_s, arrived=30, of=600, last_second=28, ceiling=30, waiting=waiting)


def test_outside_a_terminal_progress_is_a_plain_line_every_few_seconds() -> None:
    written = io.StringIO()
    with Screen(Console(file=written, width=40)) as screen:
        screen.say("a sentence that is longer than the forty columns of this console")
        for at_s in (0, LINE_EVERY_S - 1, LINE_EVERY_S):
            screen.show(moment(at_s))

    assert written.getvalue().splitlines() == [
        "- a sentence that is longer than the forty columns of this console",
        "   0 s  30 of 600 arrived, 28 in the last second; waiting: high 1, normal 20, low 300, retry 2",
        "   5 s  30 of 600 arrived, 28 in the last second; waiting: high 1, normal 20, low 300, retry 2",
    ]


def test_in_a_terminal_progress_is_redrawn_and_removed_at_the_end() -> None:
    written = io.StringIO()
    with Screen(Console(file=written, width=80, force_terminal=True, force_interactive=True)) as screen:
        screen.show(moment(1))
        screen.say("something happened")

    assert "something happened" in written.getvalue()
    assert written.getvalue().endswith("\x1b[2K")  # the last line of the drawing is erased


def test_progress_names_the_waiting_messages_and_an_engine_that_is_down() -> None:
    up, down = io.StringIO(), io.StringIO()
    Console(file=up, width=80).print(drawn(moment(1)))
    Console(file=down, width=80).print(drawn(moment(1, is_down=True)))

    assert "300 waiting" in up.getvalue()
    assert "the engine is down" in down.getvalue()
