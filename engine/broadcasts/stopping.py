"""Takes back what waits of a broadcast in the queue."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tempogram.engine.closing.closer import Closer, End
from tempogram.engine.model.broadcasts import Broadcast, BroadcastState
from tempogram.engine.model.messages import Status
from tempogram.engine.ports import Fault, Ledger
from tempogram.engine.ports.broadcast_store import PAGE, PAUSED

ENDS = {
    BroadcastState.PAUSED: End(Status.CANCELLED, Fault(code=None, reason=PAUSED)),
    BroadcastState.CANCELLED: End(Status.CANCELLED, Fault(code=None, reason="its broadcast was cancelled")),
}
"""How its messages end, by the state of a broadcast that was stopped."""


async def take_back(ledger: Ledger, closer: Closer, broadcast: Broadcast) -> int:
    """End what waits of a stopped broadcast, and return how many messages are left: they are being sent.

    Raises:
        LedgerError: A page could not be read; those before it are ended.
        BrokerUnavailable: Some wait as before.
    """
    withdrawn = await closer.withdraw(_pages(ledger, broadcast.tag), ENDS[broadcast.state])
    return withdrawn.left


async def _pages(ledger: Ledger, tag: str) -> AsyncIterator[list[str]]:
    after_id = ""
    while page := await ledger.open_ids(after_id=after_id, limit=PAGE, tag=tag):
        after_id = page[-1]
        yield page
