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


def test_what_was_looked_at_once_is_left_alone_while_there_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_tuning, "BLOCKS_LOOKED_AT_MAX", 0)
    ring = Ring()
    gone = weakref.ref(ring)
    gc.collect()

    del ring
    gc.collect()

    assert gone() is not None


def test_all_is_looked_at_again_when_there_is_less(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    monkeypatch.setattr(gc_tuning, "BLOCKS_LOOKED_AT_MAX", 0)
    gc.collect()
    del ring

    monkeypatch.setattr(gc_tuning, "BLOCKS_LOOKED_AT_MAX", 1 << 62)
    gc.collect()

    assert gone() is None


def test_what_lives_then_is_left_alone_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_tuning, "BLOCKS_LOOKED_AT_MAX", 0)
    gc.collect()
    monkeypatch.setattr(gc_tuning, "BLOCKS_LOOKED_AT_MAX", 1 << 62)
    gc.collect()

    frozen = gc.get_freeze_count()
    gc.collect()

    assert gc.get_freeze_count() == frozen > 0
