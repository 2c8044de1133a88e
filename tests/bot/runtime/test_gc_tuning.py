"""How the garbage collector is set."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tempogram.bot.runtime.gc_tuning import SLOW_S, GcTuning


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@dataclass
class Process:
    """How many memory blocks it has, and how long each full collection takes."""

    blocks: int = 1_000
    collection_s: float = SLOW_S / 2
    cpu_s: float = 0.0

    def read_blocks(self) -> int:
        return self.blocks

    def read_cpu_s(self) -> float:
        self.cpu_s += self.collection_s
        return self.cpu_s


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture(autouse=True)
def installed(process: Process) -> Iterator[None]:
    installed = GcTuning(blocks=process.read_blocks, cpu_s=process.read_cpu_s)
    installed.install()
    yield
    installed.remove()


def test_objects_that_survived_a_slow_collection_are_frozen(process: Process) -> None:
    process.collection_s = 2 * SLOW_S
    ring = Ring()
    gone = weakref.ref(ring)
    gc.collect()

    del ring
    gc.collect()

    assert gone() is not None


def test_objects_that_survived_a_fast_collection_are_not(process: Process) -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    frozen = gc.get_freeze_count()
    gc.collect()

    del ring
    gc.collect()

    assert (gone(), gc.get_freeze_count()) == (None, frozen)


def test_frozen_objects_are_collected_once_memory_is_half_as_large(process: Process) -> None:
    process.collection_s = 2 * SLOW_S
    ring = Ring()
    gone = weakref.ref(ring)
    gc.collect()
    del ring

    process.blocks = 500
    gc.collect()
    was_kept = gone() is not None
    process.blocks = 499
    gc.collect()

    assert was_kept
    assert gone() is None


def test_the_survivors_are_frozen_again(process: Process) -> None:
    process.collection_s = 2 * SLOW_S
    gc.collect()
    process.blocks = 100
    gc.collect()

    frozen = gc.get_freeze_count()
    gc.collect()

    assert gc.get_freeze_count() >= frozen > 0
