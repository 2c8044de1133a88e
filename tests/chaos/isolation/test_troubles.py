"""What is ordered at the simulator for an act."""

from __future__ import annotations

from tests.chaos.evidence import Act
from tests.chaos.isolation.troubles import faults


def test_all_calls_of_each_bot_hang_or_fail_until_that_is_undone() -> None:
    ordered = faults(Act.BOTS_HANG, [3, 5], [])

    assert [(fault.kind, fault.bot_id, fault.chat_id) for fault in ordered] == [("hang", 3, None), ("hang", 5, None)]
    assert all(fault.times is None and fault.for_ms is None for fault in ordered)


def test_calls_to_some_chats_of_a_bot_fail_and_to_no_others() -> None:
    ordered = faults(Act.CHATS_FAIL, [3], [3_500, 3_501])

    assert [(fault.status, fault.bot_id, fault.chat_id) for fault in ordered] == [(500, 3, 3_500), (500, 3, 3_501)]
