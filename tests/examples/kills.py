"""Holds a conversation with the real program, which is killed in the middle and started again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from tempogram.simulator.sync_client import served_in_thread
from tests.end_to_end.program import Program
from tests.examples.examples import Example
from tests.examples.moved import settings_of
from tests.examples.plain import NO_LIMITS, subfolder
from tests.examples.talk import Shown, Talk, Transcript

BEFORE_THE_KILL_S = 0.25
"""At most so long a handler may have run, or not yet begun, when the program is killed."""

IN_FLIGHT_MAX = 2
"""Calls that may be on their way at a kill: the broadcast has two at once."""


@dataclass(slots=True)
class Killer:
    """Kills the program after some of the steps, a chosen time later, and starts it again."""

    program: Program
    after_steps: Collection[int]
    chance: random.Random
    step: int = 0
    kills: int = 0
    pauses_s: list[float] = field(default_factory=list)

    async def __call__(self) -> None:
        self.step += 1
        if self.step in self.after_steps:
            self.pauses_s.append(self.chance.uniform(0, BEFORE_THE_KILL_S))
            await asyncio.sleep(self.pauses_s[-1])
            await self.program.kill()
            await self.program.start()
            self.kills += 1


@dataclass(frozen=True, slots=True)
class Difference:
    """What a conversation with kills shows otherwise than one without."""

    missing: list[Shown]
    extra: list[Shown]
    answers_differ: bool
    kills: int

    @property
    def is_allowed(self) -> bool:
        """Nothing is missing, and nothing is there twice but what was in flight at a kill."""
        return not self.missing and not self.answers_differ and len(self.extra) <= IN_FLIGHT_MAX * self.kills


async def held_over_kills(
    example: Example, directory: Path, after_steps: Collection[int], *, seed: int
) -> tuple[Transcript, Killer]:
    """Hold a conversation with a program that is killed after these steps."""
    own_directory = subfolder(directory, "killed")
    with served_in_thread(NO_LIMITS) as telegram:
        talk = Talk.begin(telegram, in_group=example.in_group)
        async with example.environment(own_directory) as own:
            tempogram = Program(own_directory, **settings_of(example, telegram.url, own_directory) | own)
            talk.after_step = killer = Killer(tempogram, after_steps, random.Random(seed))
            try:
                await tempogram.start()
                await example.converse(talk)
                return talk.transcript(), killer
            finally:
                await tempogram.end()
                await tempogram.session.close()


def difference(without: Transcript, with_kills: Transcript, *, kills: int) -> Difference:
    """Compare a conversation with kills to the same one without."""
    pairs = [
        _difference_of_chat(shown, with_kills.without_edit_marks().chats[name])
        for name, shown in without.without_edit_marks().chats.items()
    ]
    return Difference(
        missing=list(chain.from_iterable(missing for missing, _ in pairs)),
        extra=list(chain.from_iterable(extra for _, extra in pairs)),
        answers_differ=without.answers != with_kills.answers,
        kills=kills,
    )


def _difference_of_chat(wanted: list[Shown], shown: list[Shown]) -> tuple[list[Shown], list[Shown]]:
    """Return what is missing and what is too much, the order kept."""
    position, extra = 0, []
    for message in shown:
        if position < len(wanted) and message == wanted[position]:
            position += 1
        else:
            extra.append(message)
    return wanted[position:], extra
