"""The progress display: redrawn in a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tempogram.bot.demo.chart import meter

LINE_EVERY_S = 5.0
WIDTH = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state at one moment. ``waiting`` is None while the engine is down."""

    at_s: float
    arrived: int
    of: int
    last_second: int
    ceiling: int
    waiting: dict[str, int] | None


class Screen:
    """Prints sentences, and shows the progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_interactive else None
        self._line_at_s = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, sentence: str) -> None:
        self._console.print(f"- {sentence}", soft_wrap=True)

    def show(self, progress: Progress) -> None:
        if self._live is not None:
            self._live.update(drawn(progress))
        elif progress.at_s >= self._line_at_s:
            self._line_at_s = progress.at_s + LINE_EVERY_S
            self._console.print(line(progress), soft_wrap=True)


def line(progress: Progress) -> str:
    """Write the progress in one line.

    >>> line(Progress(at_s=5, arrived=90, of=600, last_second=29, ceiling=30, waiting={"high": 0, "low": 510}))
    '   5 s  90 of 600 arrived, 29 in the last second; waiting: high 0, low 510'
    """
    waiting = (
        "the engine is down"
        if progress.waiting is None
        else "waiting: " + ", ".join(f"{name} {count}" for name, count in progress.waiting.items() if name != "dlq")
    )
    return (
        f"{progress.at_s:4.0f} s  {progress.arrived} of {progress.of} arrived, "
        f"{progress.last_second} in the last second; {waiting}"
    )


def drawn(progress: Progress) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("time", "", f"{progress.at_s:.0f} s")
    table.add_row(
        "arrived",
        meter(progress.arrived / progress.of, width=WIDTH),
        f"{progress.arrived} of {progress.of}",
        style="green",
    )
    share = progress.last_second / progress.ceiling
    table.add_row("last second", meter(share, width=WIDTH), f"{progress.last_second} of {progress.ceiling}")
    if progress.waiting is None:
        table.add_row("waiting", "", "the engine is down", style="red")
        return table
    for name, style in (("high", "magenta"), ("normal", "cyan"), ("low", "blue"), ("retry", "yellow")):
        count = progress.waiting[name]
        table.add_row(
            f"{name}", meter(count / progress.of, width=WIDTH), f"{count} waiting"[: 40 if count else 1], style=style
        )
    return table
