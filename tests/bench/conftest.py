"""Benchmarks start programs, too, which here need not import what a server has imported."""

from __future__ import annotations

import pytest

from tempogram.bot.demo.process import EngineProcess
from tests.chaos.processes import ForkedEngine


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EngineProcess, "_spawn", ForkedEngine._spawn)
