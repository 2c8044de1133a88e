from __future__ import annotations

from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.memory_backend import ENTRIES_MAX, MemoryBackend
from tempogram.engine.cache.sizes import NAME_BYTES

KILOBYTE = b"x" * 1_000


async def test_the_group_that_has_most_makes_room() -> None:
    backend = MemoryBackend(20_000)
    await backend.keep("pay:1", EntryName("pay", "1"), KILOBYTE, 60_000)

    dropped = [
        group
        for number in range(100)
        for group in await backend.keep(f"films:{number}", EntryName("films", str(number)), KILOBYTE, 60_000)
    ]

    assert set(dropped) == {"films"}
    assert await backend.get("pay:1") == KILOBYTE
    entries, size_bytes = backend.held()
    assert size_bytes <= 20_000 < size_bytes + 1_200
    assert entries == 100 + 1 - len(dropped)


async def test_what_was_used_last_stays_longest() -> None:
    backend = MemoryBackend(3 * (1_000 + NAME_BYTES + 10))
    for number in range(3):
        await backend.keep(str(number), EntryName("films", str(number)), KILOBYTE, 60_000)
    await backend.get_many("0")

    await backend.keep("3", EntryName("films", "3"), KILOBYTE, 60_000)

    assert [await backend.get(str(number)) is not None for number in range(4)] == [True, False, True, True]


async def test_an_entry_that_is_kept_again_counts_once() -> None:
    backend = MemoryBackend(1 << 20)
    for _ in range(3):
        await backend.keep("1", EntryName("films", "1"), KILOBYTE, 60_000)
    once = backend.held()

    await backend.delete("1")

    assert once == (1, 1_000 + NAME_BYTES + 1)
    assert backend.held() == (0, 0)


async def test_a_flood_of_small_entries_is_bounded_by_their_number() -> None:
    backend = MemoryBackend(1 << 30)

    for number in range(ENTRIES_MAX + 500):
        await backend.keep(str(number), EntryName("films", str(number)), b"1", 60_000)

    assert backend.held()[0] == ENTRIES_MAX


async def test_what_expires_by_itself_is_bounded_too() -> None:
    backend = MemoryBackend(10_000)

    for number in range(1_000):
        await backend.set(f"failed:{number}", b"until 1", 1.0)

    assert backend.held()[1] <= 10_000
