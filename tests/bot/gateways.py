"""Gateways as the wiring builds them: into an engine that accepts everything, or into a desk's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tempogram.bot.calls import session
from tempogram.bot.calls.endings import Endings
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.model.ids import Ids
from tempogram.engine.sending.known_holds import KnownHolds
from tempogram.engine.sending.worker import Worker
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tests.bot.fakes import AcceptingDispatcher, DictUploads, TokenList, attaching
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
        results=(results := MemoryResults()),
        endings=Endings(results, MemoryLedger().standings),
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
) -> Gateway:
    """Return a gateway into the desk's own engine; without a worker nothing is sent at once."""
    return Gateway(
        dispatcher=desk.new_dispatcher(worker=worker),
        composer=MethodComposer(clock=desk.clock, ids=Ids(process=1)),
        attachments=attaching(DictUploads() if uploads is None else uploads),
        results=desk.results,
        endings=Endings(desk.results, desk.ledger.standings),
        tokens=tokens or TokenList(),
        known_holds=desk.delivery.known_holds,
        wait_s=wait_s,
        call_s=call_s,
    )


@contextmanager
def under_every_bot(gateway: Gateway) -> Iterator[None]:
    """Put our session under every bot, until the block ends."""
    remove = session.install(gateway)
    try:
        yield
    finally:
        remove()
