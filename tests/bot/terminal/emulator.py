"""A terminal as a person sees it: what is written becomes rows, as far as our lines use a terminal."""

from __future__ import annotations

import re

from tempogram.bot.terminal.screen import Terminal

TOKENS = re.compile(r"\x1b\[(?P<number>\d*)(?P<verb>[AJ])|\x1b\[[0-9;]*m|(?P<sign>.)", re.DOTALL)


class Emulator:
    """Rows of signs; what scrolls off the top is kept in ``scrolled``, and colours are left out."""

    def __init__(self, columns: int = 80, rows: int = 24, *, is_live: bool = True) -> None:
        self.columns, self.rows = columns, rows
        self.writes: list[str] = []
        self.scrolled: list[str] = []
        self._screen = [""]
        self._row = self._column = 0
        self.terminal = Terminal(self.write, lambda: (self.columns, self.rows), is_live)

    @property
    def shown(self) -> list[str]:
        """Return the rows that are in sight, without empty ones at the end."""
        rows = [row.rstrip() for row in self._screen]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def everything(self) -> list[str]:
        """Return what is in sight, after what was before."""
        return [*self.scrolled, *self.shown]

    def write(self, text: str) -> None:
        self.writes.append(text)
        for token in TOKENS.finditer(text):
            match token["verb"], token["sign"]:
                case "A", _:
                    self._row = max(0, self._row - int(token["number"] or 1))
                case "J", _:
                    self._screen = [*self._screen[: self._row], self._screen[self._row][: self._column]]
                case _, "\r":
                    self._column = 0
                case _, "\n":
                    self._feed()
                case _, str(sign):
                    self._print(sign)

    def _print(self, sign: str) -> None:
        if self._column >= self.columns:
            self._feed()
        row = self._screen[self._row].ljust(self._column)
        self._screen[self._row] = row[: self._column] + sign + row[self._column + 1 :]
        self._column += 1

    def _feed(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._screen):
            self._screen.append("")
        if len(self._screen) > self.rows:
            self.scrolled.append(self._screen.pop(0).rstrip())
            self._row -= 1
