"""A process that fills in forms and prints each step that was acknowledged. It is killed from outside."""

from __future__ import annotations

import asyncio
import sys

from tempogram.storage.database.database import Database
from tempogram.storage.fsm.rows import StateKey
from tempogram.storage.fsm.states import States
from tests.storage.backends import BOT

USERS = 8


async def main(url: str) -> None:
    states = States(await Database.open(url))
    await asyncio.gather(*(fill_for_ever(states, user_id) for user_id in range(USERS)))


async def fill_for_ever(states: States, user_id: int) -> None:
    step = 0
    while True:
        step += 1
        await states.update_data(StateKey(BOT, user_id, user_id), None, data={f"step {step}": step})
        sys.stdout.write(f"{user_id} {step};\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
