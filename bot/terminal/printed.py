"""What is written to standard output and error while the screen is open: each line is one of the screen's."""

from __future__ import annotations

import io
import threading
from typing import Any, TextIO

from tempogram.bot.terminal.flow import Kind
from tempogram.bot.terminal.screen import Line, Screen

BEGUN_MAX = 8_192
"""Characters that wait for the end of their line; more are shown before. As a buffer of Python's."""


class Printed(io.TextIOBase):
    """Stands in for ``sys.stdout``. What does not end with a line is shown when it is flushed, or long."""

    def __init__(self, screen: Screen, original: TextIO) -> None:
        self._screen = screen
        self._original = original
        self._begun = ""
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """Return what else a stream has: ``reconfigure``, or ``buffer``, which takes bytes past the screen."""
        return getattr(self._original, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._original.encoding

    def write(self, text: str) -> int:
        if self._screen.is_closed:
            return self._original.write(text)
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            if len(self._begun) > BEGUN_MAX:
                lines, self._begun = [*lines, self._begun], ""
        for line in lines:
            self._put(line)
        return len(text)

    def flush(self) -> None:
        with self._lock:
            begun, self._begun = self._begun, ""
        if begun and not self._screen.is_closed:
            self._put(begun)
        elif begun:
            self._original.write(begun)
        self._original.flush()

    def isatty(self) -> bool:
        return self._original.isatty()

    def fileno(self) -> int:
        return self._original.fileno()

    def writable(self) -> bool:
        return True

    def _put(self, line: str) -> None:
        self._screen.put(Line(Kind.PRINTED, lambda _: line))


class LogLines(io.TextIOBase):
    """Takes the lines of the log: one write is one line, with its traceback."""

    def __init__(self, screen: Screen, original: TextIO) -> None:
        self._screen = screen
        self._original = original

    def write(self, text: str) -> int:
        if self._screen.is_closed:
            return self._original.write(text)
        line = text.removesuffix("\n")
        self._screen.put(Line(Kind.LOGGED, lambda _: line))
        return len(text)

    def isatty(self) -> bool:
        return self._original.isatty()

    def writable(self) -> bool:
        return True
