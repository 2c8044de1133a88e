"""When freed memory is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tempogram.bot.runtime.memory_trim import FREED_BLOCKS_MIN, MemoryTrim, malloc_trim

IDLE, BACKLOG = 500_000, 500_000 + 2 * FREED_BLOCKS_MIN


async def trims(blocks: Sequence[int]) -> int:
    """Let it look at these numbers of blocks, and return how often it gave memory back."""
    left, given_back = list(blocks), []

    async def sleep(_seconds: float) -> None:
        if not left:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await MemoryTrim(trim=lambda: given_back.append(1), blocks=lambda: left.pop(0), sleep=sleep).run()
    return len(given_back)


async def test_memory_is_given_back_once_after_a_backlog_is_gone() -> None:
    assert await trims([IDLE, BACKLOG, IDLE, IDLE, IDLE]) == 1


async def test_memory_is_given_back_in_steps_while_a_backlog_shrinks() -> None:
    assert await trims([IDLE, BACKLOG, BACKLOG - FREED_BLOCKS_MIN, IDLE]) == 2


async def test_an_ordinary_load_gives_nothing_back() -> None:
    assert await trims([IDLE, IDLE + FREED_BLOCKS_MIN // 2, IDLE, IDLE + FREED_BLOCKS_MIN // 2, IDLE]) == 0


async def test_without_glibc_nothing_is_done() -> None:
    async def sleep(_seconds: float) -> None:
        if not left:
            raise asyncio.CancelledError

    left = [BACKLOG, IDLE]
    with pytest.raises(asyncio.CancelledError):
        await MemoryTrim(trim=None, blocks=lambda: left.pop(0), sleep=sleep).run()


def test_what_the_c_library_has_can_be_called() -> None:
    trim = malloc_trim()

    assert trim is None or trim() in {0, 1}
