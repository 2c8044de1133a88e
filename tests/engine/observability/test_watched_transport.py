"""A watcher is notified of each call, and of what waits."""

from __future__ import annotations

from collections.abc import Sequence

from tempogram.engine.model.messages import Lease, Outgoing
from tempogram.engine.model.outcomes import Failed, Outcome, Sent
from tempogram.engine.observability.watched_transport import WatchedTransport
from tests.engine.desk import Desk, ScriptedTransport
from tests.fakes import Clock, outgoing


class Notes:
    """See ``Watcher``."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.calls: list[tuple[str, Outcome, int]] = []

    def queued(self, messages: Sequence[Outgoing]) -> None:
        self.waiting += [message.id for message in messages]

    def answered(self, lease: Lease, outcome: Outcome, *, took_ms: int) -> None:
        self.calls.append((lease.message.id, outcome, took_ms))


class SlowTransport(ScriptedTransport):
    """Takes 20 ms to answer."""

    def reply_to(self, lease: Lease) -> Outcome:
        assert isinstance(self._clock, Clock)
        self._clock.advance(20)
        reply = super().reply_to(lease)
        assert isinstance(reply, Sent | Failed)
        return reply


async def test_each_call_is_notified_with_its_outcome_and_its_time(desk: Desk) -> None:
    notes, transport = Notes(), SlowTransport(desk.clock, [])
    transport.answers(Failed("Bad Gateway", 502), Sent(7))
    watched = WatchedTransport(transport, notes, desk.clock)
    lease = await desk.leased(outgoing("a"))

    answers = [await watched.send(lease, lambda: True) for _ in range(2)]

    assert [answer.outcome for answer in answers] == [Failed("Bad Gateway", 502), Sent(7)]
    assert notes.calls == [("a", Failed("Bad Gateway", 502), 20), ("a", Sent(7), 20)]
