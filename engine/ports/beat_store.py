"""What the loops of each process report, so that all processes see which of them still run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopBeat:
    """One loop of one process.

    Attributes:
        process: Eight hexadecimal digits.
        loop: ``recoverer``.
        role: Of the process, as its command is called.
        at_ms: When it was last seen to run.
        every_ms: How often it is reported.
    """

    process: str
    loop: str
    role: str
    at_ms: int
    every_ms: int


class BeatStore(Protocol):
    """The last beat of each loop. Each method raises ``LedgerError`` if the database refuses."""

    async def report(self, process: str, beats: Sequence[LoopBeat], *, alive: Collection[str]) -> None:
        """Replace the beats of a process, and delete those of processes that are not alive."""

    async def beats(self) -> list[LoopBeat]:
        """Return all beats, by loop and process."""
