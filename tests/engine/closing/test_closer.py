"""What waits for a bot that was removed is cancelled."""

from __future__ import annotations

from tempogram.engine.closing.clearance import Clearance
from tempogram.engine.closing.closer import Withdrawn
from tempogram.engine.model.messages import Status
from tests.engine.desk import Desk
from tests.fakes import outgoing


async def test_what_the_schedule_has_forgotten_is_cancelled_though_the_ledger_refuses_at_first(desk: Desk) -> None:
    """Nobody else knows of it any more: left to a later round it would wait until it is scheduled again."""
    await desk.accept(outgoing("a"), outgoing("b", bot_id=2))
    desk.ledger.refused_words = ["record"]
    clearance = Clearance(
        ledger=desk.ledger, broker=desk.broker, results=desk.results, clock=desk.clock, sleep=desk._sleep
    )

    cleared = await clearance.clear(1, before_id="z")

    assert cleared == Withdrawn(ended=1, left=0)
    assert desk.ledger.statuses == {"a": Status.CANCELLED, "b": Status.QUEUED}
