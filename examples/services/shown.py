"""What the examples of this folder share: a strict service on this machine, the engine, and what is printed."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tempogram import Tempogram
from tempogram.simulator.services.server import Server

SERVICES_FILE = Path(__file__).with_name("services.toml")

Way: TypeAlias = Callable[[str], Awaitable[int]]
"""Gets the address of the service, asks for everything, and returns how much of it was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of one way; all but the first two and the last is what the service counted.

    Attributes:
        refused: Calls that were answered with 429.
        broken: Why, for each limit that such a call broke.
    """

    asked: int
    answered: int
    refused: int
    calls: int
    broken: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """Return the columns of ``COLUMNS``."""
        answered = f"{self.answered} of {self.asked}"
        return f"{answered:>10}{self.refused:8}{self.calls:8}{self.seconds:10.1f}"


COLUMNS = f"{'answered':>10}{'429s':>8}{'calls':>8}{'seconds':>10}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The same work in two ways.

    Attributes:
        title: What is to be done, and what the service allows.
        asked: How much there is to be answered.
        limits: What the service allows; see ``tempogram.simulator.services.counts.Rule``.
        manner: How it answers; see ``tempogram.simulator.services.service.Manner``.
    """

    title: str
    asked: int
    before: Way
    after: Way
    limits: Sequence[Mapping[str, Any]]
    manner: Mapping[str, Any] = field(default_factory=dict)

    async def see_before(self) -> Seen:
        return await self._see(self.before)

    async def see_after(self) -> Seen:
        with tempfile.TemporaryDirectory() as directory:
            async with Tempogram(data_dir=directory, database_url="", redis_url="", services_file=SERVICES_FILE):
                return await self._see(self.after)

    async def show(self) -> None:
        sys.stdout.write(f"{self.title}\n\n{'':8}{COLUMNS}\n")
        for name, see in (("before", self.see_before), ("after", self.see_after)):
            sys.stdout.write(f"{name:8}{await see()}\n")
            sys.stdout.flush()

    async def _see(self, way: Way) -> Seen:
        server = Server({"rules": self.limits, "manner": self.manner})
        async with server.serve() as url:
            since_s = time.monotonic()
            answered = await way(url)
            seconds = time.monotonic() - since_s
        report = server.service.report()
        return Seen(
            asked=self.asked,
            answered=answered,
            refused=report["statuses"]["429"],
            calls=report["statuses"].total(),
            broken=tuple(each["why"] for limit in report["limits"].values() for each in limit["refused"]),
            seconds=seconds,
        )


def main(example: Example) -> None:
    asyncio.run(example.show())
