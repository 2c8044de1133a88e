"""A campaign in a process of its own that is killed with SIGKILL, and started again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tempogram import Guarantee
from tests.end_to_end.program import ADMIN_TOKEN
from tests.end_to_end.test_telegram_answers import until
from tests.forked import forks

CONTACTS, CONCURRENCY = 40, 5
SEED = 7


def campaign(directory: Path, guarantee: Guarantee, seed: int) -> None:
    """Be the program: each contact takes up to 300 ms, and its beginning and end stand in a file."""
    from tempogram import Tempogram, map_limited

    chance = random.Random(seed)

    async def send(contact: int) -> None:
        note(f"begins {contact}")
        await asyncio.sleep(chance.uniform(0.1, 0.3))
        note(f"ends {contact}")

    def note(what: str) -> None:
        with (directory / "notes").open("a", encoding="utf-8") as notes:
            notes.write(f"{what}\n")

    async def run() -> None:
        async with Tempogram(data_dir=directory, admin_token=ADMIN_TOKEN):
            report = await map_limited(send, range(CONTACTS), CONCURRENCY, name="campaign-7", guarantee=guarantee)
        (directory / "uncertain").write_text(" ".join(str(each.item) for each in report.uncertain))

    asyncio.run(run())


@contextmanager
def program(directory: Path, guarantee: Guarantee, seed: int) -> Iterator[BaseProcess]:
    process = forks.Process(target=campaign, args=(directory, guarantee, seed))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def begun(directory: Path) -> Counter[int]:
    notes = directory / "notes"
    lines = notes.read_text().splitlines() if notes.exists() else []
    return Counter(int(line.split()[1]) for line in lines if line.startswith("begins"))


@pytest.mark.parametrize("guarantee", Guarantee)
async def test_over_two_kills_every_contact_is_reached_or_named(tmp_path: Path, guarantee: Guarantee) -> None:
    chance = random.Random(SEED)
    for number in range(2):
        made = begun(tmp_path).total() + chance.randint(3, 10)

        async def has_begun(count: int = made) -> bool:
            return begun(tmp_path).total() >= count

        with program(tmp_path, guarantee, number):
            await until(has_begun)
    with program(tmp_path, guarantee, SEED) as last:
        await asyncio.to_thread(last.join)

    reached, uncertain = begun(tmp_path), {int(word) for word in (tmp_path / "uncertain").read_text().split()}
    assert last.exitcode == 0
    assert len(uncertain) <= 2 * CONCURRENCY
    if guarantee is Guarantee.AT_MOST_ONCE:
        assert max(reached.values()) == 1
        assert set(range(CONTACTS)) - set(reached) <= uncertain
    else:
        assert set(reached) == set(range(CONTACTS))
        repeated = sum(count - 1 for count in reached.values())
        assert repeated <= 2 * 2 * CONCURRENCY  # what was under way, and as many that ended in 50 ms and a commit
