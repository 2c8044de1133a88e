"""How the garbage collector is set."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from tempogram.bot.runtime import gc_tuning


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    installed = gc_tuning.GcTuning()
    installed.install()
    yield
    installed.remove()


def test_objects_that_survived_a_collection_are_frozen_while_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_tuning, "BLOCKS_COLLECTED_MAX", 0)
    ring = Ring()
    gone = weakref.ref(ring)
    gc.collect()

    del ring
    gc.collect()

    assert gone() is not None


def test_all_objects_are_collected_again_once_there_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    monkeypatch.setattr(gc_tuning, "BLOCKS_COLLECTED_MAX", 0)
    gc.collect()
    del ring

    monkeypatch.setattr(gc_tuning, "BLOCKS_COLLECTED_MAX", 1 << 62)
    gc.collect()

    assert gone() is None


def test_the_survivors_are_frozen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_tuning, "BLOCKS_COLLECTED_MAX", 0)
    gc.collect()
    monkeypatch.setattr(gc_tuning, "BLOCKS_COLLECTED_MAX", 1 << 62)
    gc.collect()

    frozen = gc.get_freeze_count()
    gc.collect()

    assert gc.get_freeze_count() == frozen > 0
