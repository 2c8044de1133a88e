"""Runs an example by the one line: its own ``main()``, aiogram's polling, and Tempogram under it.

In this process, or as a program of its own (``python -m tests.examples.one_line shop``), which can be killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tempogram import Tempogram
from tempogram.simulator.sync_client import Remote, served_in_thread
from tests.end_to_end.own_program import OwnProgram
from tests.end_to_end.program import started
from tests.examples.examples import Example
from tests.examples.kills import BEFORE_THE_KILL_S
from tests.examples.moved import settings_of
from tests.examples.plain import NO_LIMITS, freshly_imported, plain, subfolder, telegram_at
from tests.examples.talk import TOKEN, Talk

ENDED = ("sent", "cancelled", "refused")
"""How a message may end that was accepted: a newer edit of the same may have made it needless, or its user has blocked
the bot."""


@asynccontextmanager
async def by_one_line(
    example: Example, telegram: Remote, directory: Path, put: Callable[[Mapping[str, str]], None], *, window_s: float
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Run an example in this process until the block ends; yields what waits until no handler runs."""
    own_directory = subfolder(directory, "one_line")
    async with example.environment(own_directory) as own:
        window = {"TELEGRAM_GROUP_LIMIT_WINDOW_S": str(window_s)}
        put(settings_of(example, telegram.url, own_directory) | window | own | {"BOT_TOKEN": TOKEN})
        async with Tempogram(), plain(example.name, telegram.url) as idle:
            yield idle


class OneLineProgram(OwnProgram):
    """An example as a child process; ``role`` is its name."""

    @property
    def module(self) -> tuple[str, ...]:
        return "tests.examples.one_line", self.role


@dataclass(frozen=True, slots=True)
class Cut:
    """A conversation that was cut by a kill, and what became of what the ledger had accepted before.

    Attributes:
        accepted: How many messages that were.
        lost: Those that were not sent after the next start, by how they ended.
        twice: How many calls more than one Telegram accepted for one message.
    """

    accepted: int
    lost: Counter[str]
    twice: int

    @property
    def is_allowed(self) -> bool:
        """Nothing is lost, and nothing is there twice but what was in flight."""
        return not self.lost and self.twice <= IN_FLIGHT_MAX


IN_FLIGHT_MAX = 2
"""Calls that may be on their way at a kill: the broadcast has two at once."""


class Killed(Exception):
    """The program was killed in the middle of its conversation, which is over by that."""


async def cut_by_kill(example: Example, directory: Path, after_step: int, *, seed: int) -> Cut:
    """Hold a conversation until the program is killed after a step, and start the program again.

    The conversation does not go on: aiogram has confirmed the update whose handler was killed, and forgets the states
    that it keeps in memory. But what the handlers had called is accepted, and must arrive.
    """
    own_directory = subfolder(directory, f"cut-{after_step}-{seed}")
    with served_in_thread(NO_LIMITS) as telegram:
        talk = Talk.begin(telegram, in_group=example.in_group)
        async with example.environment(own_directory) as own:
            program = OneLineProgram(
                own_directory,
                role=example.name,
                **settings_of(example, telegram.url, own_directory) | own | {"BOT_TOKEN": TOKEN},
            )
            steps = iter(range(1, after_step + 1))

            async def kill_in_time() -> None:
                if next(steps) == after_step:
                    await asyncio.sleep(random.Random(seed).uniform(0, BEFORE_THE_KILL_S))
                    await program.kill()
                    raise Killed

            talk.after_step = kill_in_time
            async with started(program):
                with suppress(Killed):
                    await example.converse(talk)
                accepted = messages_in(own_directory)
                await program.start()
                await OwnProgram.until(lambda: all_ended(own_directory, accepted), within_s=40)
                became = messages_in(own_directory)
        calls = [call for call in telegram.calls() if call["code"] == 200 and call["cost"]]
    lost = Counter(became[each] for each in accepted if became[each] not in ENDED)
    sent = sum(status == "sent" for status in counted_in(own_directory).values())
    return Cut(len(accepted), lost, max(0, len(calls) - sent))


def messages_in(directory: Path) -> dict[str, str]:
    """Return what became of every outgoing message in the program's ledger, by its id."""
    return _statuses(directory, "direction = 'out'")


def counted_in(directory: Path) -> dict[str, str]:
    return _statuses(directory, "direction = 'out' AND cost > 0")


def _statuses(directory: Path, condition: str) -> dict[str, str]:
    with sqlite3.connect(f"file:{directory}/data/tempogram.db?mode=ro", uri=True) as database:
        rows = database.execute(f"SELECT id, status, reason FROM messages WHERE {condition}")  # noqa: S608 - a constant
        return {
            message_id: "refused" if str(reason).startswith("Forbidden: bot was blocked") else status
            for message_id, status, reason in rows
        }


async def all_ended(directory: Path, accepted: Mapping[str, str]) -> bool:
    became = messages_in(directory)
    return not {became[each] for each in accepted} & {"queued", "sending"}


async def _main(name: str) -> None:
    with telegram_at(os.environ["TELEGRAM_API_URL"]):
        async with Tempogram():
            await freshly_imported(name).main()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(_main(sys.argv[1]))
