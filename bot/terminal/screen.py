"""The lines on the terminal, above a footer that stays: however much happens, the address is in sight."""

from __future__ import annotations

import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.text import Text

from tempogram.bot.terminal.flow import Flow, Kind
from tempogram.engine.ports import Clock

LINES_MAX = 5_000
"""Lines that wait for a slow terminal; more are counted and dropped. untuned: some seconds of a busy process."""

DRAW_EVERY_S = 0.1
"""untuned: at once, to a person."""

CLOSE_S = 1.0
"""How long a terminal that takes nothing may delay the end."""

ROWS_FOR_FOOTER = 8
COLUMNS_FOR_FOOTER = 20
"""A smaller terminal has no footer."""

PIPE_COLUMNS = 500
"""Width of a line where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be shown.

    Attributes:
        draw: Returns it for a width in columns; a ``str`` is written as it is.
    """

    kind: Kind
    draw: Callable[[int], Text | str]


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where the lines go.

    Attributes:
        size: Columns and rows, as they are now.
        is_live: What was written may be replaced; else there is no footer, and no colour.
    """

    write: Callable[[str], None]
    size: Callable[[], tuple[int, int]]
    is_live: bool

    @classmethod
    def of(cls, descriptor: int) -> Self:
        """Write to a file descriptor, past Python's buffers, whose locks a thread must not hold at the end."""

        def write(text: str) -> None:
            left = text.encode(errors="replace")
            while left:
                try:
                    left = left[os.write(descriptor, left) :]
                except BlockingIOError:
                    time.sleep(0.01)
                except OSError:  # the terminal was closed
                    return

        return cls(write, lambda: _size(descriptor), os.isatty(descriptor))


class Screen:
    """Takes lines from any thread at once, and draws them from a thread of its own.

    Args:
        footer: Returns the lines that stay, for a width; the first is the most important one.
    """

    def __init__(
        self, terminal: Terminal, *, clock: Clock, footer: Callable[[int], Sequence[Text]] = lambda _: ()
    ) -> None:
        self._terminal = terminal
        self.footer = footer
        self._lines: deque[Line] = deque()
        self._missed = 0
        self._flow = Flow(clock)
        self._footer_drawn = ""
        self._footer_rows = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
        self._console = Console(
            file=io.StringIO(), force_terminal=terminal.is_live, highlight=False, markup=False, emoji=False
        )

    @property
    def is_closed(self) -> bool:
        return self._ending.is_set()

    def put(self, line: Line) -> None:
        """Show a line soon; returns at once."""
        if len(self._lines) >= LINES_MAX and line.kind is not Kind.OWN:
            self._missed += 1
        else:
            self._lines.append(line)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Let the thread show what is left and take the footer away, for ``CLOSE_S`` at most."""
        self._ending.set()
        self._thread.join(CLOSE_S)

    def draw(self) -> None:
        """Write what was put, with one call."""
        columns, rows = self._terminal.size()
        lines = self._drained(columns)
        footer = self._drawn_footer(columns, rows)
        if lines or footer != self._footer_drawn:
            written = self._erased() + "".join(f"{line}\n" for line in lines) + footer
            self._footer_drawn, self._footer_rows = footer, footer.count("\n") + bool(footer)
            self._terminal.write(written)

    def _run(self) -> None:
        while not self._ending.wait(DRAW_EVERY_S):
            self.draw()
        self.draw()
        self._terminal.write(self._erased())

    def _drained(self, columns: int) -> list[str]:
        shown: list[str] = []
        self._show_rest(shown)
        for _ in range(len(self._lines)):  # what comes meanwhile is for the next time
            line = self._lines.popleft()
            if self._flow.takes(line.kind):
                shown.append(self._drawn(line, columns))
        if self._missed:
            missed, self._missed = self._missed, 0
            shown.append(f"… and {missed:,} more, which this terminal was too slow for")
        if self._ending.is_set():
            self._show_rest(shown, is_last=True)
        return shown

    def _show_rest(self, shown: list[str], *, is_last: bool = False) -> None:
        if (rest := self._flow.rest(is_last=is_last)) is not None:
            shown.append(self._written(Text(rest, "dim"), self._terminal.size()[0]))

    def _drawn_footer(self, columns: int, rows: int) -> str:
        if not self._terminal.is_live or columns < COLUMNS_FOR_FOOTER or rows < ROWS_FOR_FOOTER:
            return ""
        lines = list(self.footer(columns - 1))[: max(1, rows // 4)]
        return "\n".join(self._written(line, columns) for line in lines)

    def _erased(self) -> str:
        """Return what takes the footer away; the cursor stands at its end."""
        if not self._footer_rows:
            return ""
        up = f"\x1b[{self._footer_rows - 1}A" if self._footer_rows > 1 else ""
        return f"\r{up}\x1b[J"

    def _drawn(self, line: Line, columns: int) -> str:
        try:
            return self._written(line.draw(columns - 1), columns)
        except Exception as error:  # noqa: BLE001 - one line that cannot be drawn must not end all the others
            return f"(a line cannot be shown: {type(error).__name__})"

    def _written(self, line: Text | str, columns: int) -> str:
        if isinstance(line, str):
            return f"{line}\x1b[0m" if "\x1b" in line else line
        self._console.width = columns - 1
        with self._console.capture() as captured:
            self._console.print(line, no_wrap=True, overflow="ellipsis", end="")
        return captured.get()


def _size(descriptor: int) -> tuple[int, int]:
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return PIPE_COLUMNS, 0
    return columns or 80, rows or 24
