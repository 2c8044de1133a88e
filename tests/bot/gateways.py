"""Gateways as the wiring builds them: into an engine that accepts everything, or into a desk's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from tempogram.bot.calls import session
from tempogram.bot.calls.endings import Endings
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.calls.handles import HandleReferences
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Outgoing
from tempogram.engine.recovery.cancellations import Cancellations
from tempogram.engine.recovery.parked_messages import ParkedMessages
from tempogram.engine.sending.known_holds import KnownHolds
from tempogram.engine.sending.worker import Worker
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tests.bot.fakes import AcceptingDispatcher, DictUploads, TokenList, attaching
from tests.bot.memory_handles import MemoryHandles
from tests.engine.desk import Desk


def accepting_gateway(
    accepting: AcceptingDispatcher,
    composer: MethodComposer,
    *,
    attachments: Attachments | None = None,
    tokens: TokenList | None = None,
) -> Gateway:
    """Return a gateway whose engine sends nothing; an awaited call returns at once."""
    return Gateway(
        dispatcher=accepting,  # type: ignore[arg-type]
        composer=composer,
        attachments=attachments or attaching(DictUploads()),
        endings=Endings(MemoryResults(), (ledger := MemoryLedger()).standings),
        handles=MemoryHandles(ledger),
        references=NoReferences(),  # type: ignore[arg-type]
        tokens=tokens or TokenList(),
        known_holds=KnownHolds(lambda: 0),
        wait_s=0,
        call_s=0,
    )


def desk_gateway(
    desk: Desk,
    *,
    worker: Worker | None = None,
    uploads: DictUploads | None = None,
    tokens: TokenList | None = None,
    wait_s: float | None = 0,
    call_s: float = 30,
    handles: MemoryHandles | None = None,
) -> Gateway:
    """Return a gateway into the desk's own engine; without a worker nothing is sent at once."""
    handles = handles or MemoryHandles(desk.ledger)
    references = references_of(desk, handles)
    return Gateway(
        dispatcher=desk.new_dispatcher(worker=worker, references=references),
        composer=MethodComposer(clock=desk.clock, ids=Ids(process=1)),
        attachments=attaching(DictUploads() if uploads is None else uploads),
        endings=Endings(desk.results, desk.ledger.standings),
        handles=handles,
        references=references,
        tokens=tokens or TokenList(),
        known_holds=desk.delivery.known_holds,
        wait_s=wait_s,
        call_s=call_s,
    )


def references_of(desk: Desk, handles: MemoryHandles) -> HandleReferences:
    return HandleReferences(
        handles=handles,
        ledger=desk.ledger,
        broker=desk.broker,
        cancellations=Cancellations(
            broker=desk.broker,
            closer=desk.closer,
            pending_admissions=desk.pending_admissions,
            conditions=desk.conditions,
        ),
        parked_messages=parked_messages_of(desk, handles),
    )


def parked_messages_of(desk: Desk, handles: MemoryHandles) -> ParkedMessages:
    return ParkedMessages(
        handles=handles, ledger=desk.ledger, broker=desk.broker, results=desk.results, conditions=desk.conditions
    )


class NoReferences:
    """Takes every call for one that refers to no handle."""

    async def change_waiting(self, message: Outgoing) -> Outgoing:
        return message

    @asynccontextmanager
    async def in_order(self, _bot_id: int) -> AsyncIterator[None]:
        yield


@contextmanager
def under_every_bot(gateway: Gateway) -> Iterator[None]:
    """Put our session under every bot, until the block ends."""
    remove = session.install(gateway)
    try:
        yield
    finally:
        remove()
