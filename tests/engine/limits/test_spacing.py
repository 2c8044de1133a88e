from __future__ import annotations

from tempogram.engine.limits.limits import Limit
from tempogram.engine.limits.spacing import spacing


def test_no_limit_is_no_spacing() -> None:
    assert spacing(Limit(0, 1_000), 5) is None


def test_spacing_lets_so_many_leave_at_once_and_then_one_a_slot() -> None:
    apart = spacing(Limit(30, 1_000), 5)
    assert apart is not None

    left_at_ms, now_ms = [], 1_000
    for _ in range(8):
        now_ms = apart.free_at_ms(now_ms, 1)
        apart.spend(now_ms, 1)
        left_at_ms.append(now_ms - 1_000)

    assert left_at_ms == [0, 0, 0, 0, 0, 34, 67, 100]
