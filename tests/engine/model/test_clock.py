"""The clock of a process."""

from __future__ import annotations

import time

import pytest

from tempogram.engine.model.clock import SystemClock

HOUR_NS = 3_600 * 1_000_000_000


@pytest.mark.parametrize("step_ns", [-HOUR_NS, HOUR_NS], ids=["back", "forward"])
def test_a_clock_that_is_set_while_the_process_runs_does_nothing(monkeypatch: pytest.MonkeyPatch, step_ns: int) -> None:
    clock = SystemClock()
    before_ms, at_ns = clock(), time.time_ns()

    monkeypatch.setattr(time, "time_ns", lambda: at_ns + step_ns)

    assert 0 <= clock() - before_ms < HOUR_NS // 1_000_000
