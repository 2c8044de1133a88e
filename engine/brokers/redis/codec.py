"""Values on their way to the scripts and back: rows of msgpack, and messages as records (see ``records``).

What is None here is false there, because a list in Lua ends at the first nil.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any, TypeVar

import msgspec

from tempogram.engine.brokers.redis.keys import chat_id_of, chat_name
from tempogram.engine.brokers.redis.records import body, lease_of, message_of, record
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.limits.pool import Connections
from tempogram.engine.model.messages import (
    PRIORITIES,
    Again,
    Done,
    Hold,
    HoldChat,
    Lease,
    MoveChat,
    Outgoing,
    PastSend,
    PauseBot,
    Settlement,
    Spent,
    Then,
)
from tempogram.engine.ports.broker import (
    BATCH_MAX,
    Admission,
    Duplicate,
    FailingChange,
    Leased,
    Queued,
    QueueStats,
    Refused,
    Replaced,
    Settled,
    Verdict,
)
from tempogram.engine.ports.explanation import Explanation, WaitsAt

T = TypeVar("T")
Row = Sequence[Any]
Records = Iterator[bytes]

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode
NO_ROWS = pack([])


# To the scripts


def rows(row: Callable[[T], Row], values: Sequence[T]) -> bytes:
    """Pack what ``row`` makes of each value."""
    return pack([row(value) for value in values])


def flag(flag: bool) -> str:  # noqa: FBT001 - one of two words for a script
    return "1" if flag else ""


def message_rows(messages: Sequence[Outgoing]) -> list[bytes]:
    """Return the ids of messages, and then their records."""
    return [pack([message.id for message in messages]), *map(record, messages)]


def amendment_rows(messages: Sequence[Outgoing]) -> list[bytes]:
    """Return what of messages that wait is another now, and then their bodies."""
    return [rows(lambda each: (each.id, each.cost, each.method, each.ready_at_ms), messages), *map(body, messages)]


def connections_row(connections: Connections | None, slots: int) -> bytes:
    """Return a worker's connections; nothing if more than half stay free, as then any bot may have them."""
    if connections is None or connections.are_any_bots_after(min(slots, BATCH_MAX)):
        return b""
    pool, at_ms = connections.pool, connections.at_ms
    counts = [(str(bot_id), taken, is_quick) for bot_id, taken, is_quick in pool.counts(at_ms)]
    return pack((pool.places, connections.free, pool.active(at_ms), pool.is_shared, counts))


def settlement_rows(settlements: Sequence[Settlement]) -> list[bytes]:
    """Return the rows of settlements, and then the bodies that they name."""
    bodies: list[bytes] = []
    packed = pack([settlement_row(each, bodies) for each in settlements])
    return [packed, *bodies]


_LIMITS = Struct("<30d")
"""Version, saved up, guard, least after a 429, caps of chat and bot; shares; count, window, burst of 7.

A burst is 0 if there is none, and negative if a window holds besides the bucket."""

_VERSION = Struct("<d")


def limits_record(limits: Limits) -> bytes:
    """Return limits as they are kept: every call reads them, and msgpack would take several times as long."""
    numbers = limits.version, limits.saved_up, limits.guard_ms, limits.adapt_least, limits.chat_cap, limits.bot_cap
    shares = [limits.shares[priority] for priority in PRIORITIES]
    all_limits = limits.ceiling, limits.bot, limits.paid, limits.purse, limits.chat, limits.group, limits.user
    return _LIMITS.pack(*numbers, *shares, *(number for limit in all_limits for number in _limit(limit)))


def version_of(kept: bytes) -> int:
    """Return the version of limits that are kept."""
    (version,) = _VERSION.unpack_from(kept)
    return int(version)


def _limit(limit: Limit) -> tuple[int, int, int]:
    burst = limit.burst or 0
    return limit.count, limit.window_ms, -burst if limit.has_window else burst


def lease_row(lease: Lease) -> Row:
    return lease.message.id, lease.number, lease.incarnation


def settlement_row(settlement: Settlement, bodies: list[bytes]) -> Row:
    """Return its row, with the body of its rest among ``bodies``."""
    lease, rest = settlement.lease, settlement.rest
    if rest is not None:
        bodies.append(body(rest.of(lease.message)))
    return (
        *lease_row(lease),
        lease.attempt,
        _or_false(settlement.counted_age_ms),
        settlement.counted_cost,
        rest is not None and (rest.method, rest.cost, len(bodies)),
        _ALIVE[settlement.alive],
        *_then_row(settlement.then),
    )


_ALIVE = {True: "alive", False: "failed", None: ""}


def _then_row(then: Then) -> Row:
    match then:
        case Done():
            return ("done",)
        case Again(delay_ms, spent):
            return "again", delay_ms, spent
        case HoldChat(retry_after_ms):
            return "hold", retry_after_ms
        case MoveChat(to_chat_id):
            return "move", chat_name(to_chat_id)
        case PauseBot():
            return ("pause",)


def hold_row(hold: Hold) -> Row:
    return str(hold.bot_id), chat_name(hold.chat_id), hold.until_ms


def send_row(send: PastSend) -> Row:
    return str(send.bot_id), chat_name(send.chat_id), send.counted_at_ms, send.cost, send.is_paid


def spent_row(spent: Spent) -> Row:
    return str(spent.bot_id), spent.at_ms, spent.cost


def _or_false(value: int | str | None) -> int | str | bool:
    return False if value is None else value


# From the scripts


def admission_of(row: Row, messages: Sequence[Outgoing], records: Records, *, worker_id: str) -> Admission:
    verdicts, leased = row
    each = tuple([verdict_of(verdict, message, records) for verdict, message in zip(verdicts, messages, strict=True)])
    return Admission(each, leased_of(leased, records, worker_id=worker_id))


def messages_of(message_ids: Sequence[str], records: Records) -> list[Outgoing]:
    return [message_of(message_id, next(records)) for message_id in message_ids]


def leases_of(message_ids: Sequence[str], records: Records, *, worker_id: str, incarnation: int) -> list[Lease]:
    return [lease_of(each, next(records), worker_id=worker_id, incarnation=incarnation) for each in message_ids]


def leased_of(row: Row, records: Records, *, worker_id: str) -> Leased:
    leases, expired, wake_at_ms, is_kept_back, _, incarnation, *_ = row
    gone = tuple([message_of(each, next(records), with_spent=True) for each in expired])
    given = leases_of(leases, records, worker_id=worker_id, incarnation=incarnation)
    return Leased(tuple(given), gone, _or_none(wake_at_ms), is_kept_back)


def verdict_of(row: Row, message: Outgoing, records: Records) -> Verdict:
    match row:
        case ["queued"]:
            return Queued()
        case ["queued", older]:
            return Queued(instead_of=message_of(older, next(records)))
        case ["replaced", by]:
            return Replaced(by=by)
        case ["refused", chat, cap]:
            return Refused(message.bot_id, None if chat is False else chat_id_of(chat), cap)
        case _:
            return Duplicate()


def settled_of(row: Row) -> Settled:
    held, holds, failing = row
    found = tuple([Hold(int(bot_id), chat_id_of(chat), until_ms) for bot_id, chat, until_ms in holds])
    return Settled(held, found, FailingChange(*failing) if failing else None)


def explanation_of(message_id: str, row: Row) -> Explanation | None:
    if not row:
        return None
    waits_at, before_in_lane, before_in_line, earliest_at_ms = row
    return Explanation(
        message_id=message_id,
        waits_at=WaitsAt(waits_at),
        before_in_lane=before_in_lane,
        before_in_line=before_in_line,
        earliest_at_ms=_or_none(earliest_at_ms),
    )


def stats_of(row: Row) -> QueueStats:
    waiting, retry, leased, *by_bot = row
    bots, adapted, paid, failing = ({int(bot_id): number for bot_id, number in rows} for rows in by_bot)
    return QueueStats(dict(zip(PRIORITIES, waiting, strict=True)), retry, leased, bots, adapted, paid, failing)


def _or_none(value: Any) -> Any:
    return None if value is False else value
