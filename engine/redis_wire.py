"""Values on their way to the scripts and back: rows of msgpack, and bodies that no script looks into.

What is None here is false there, because a list in Lua ends at the first nil.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from engine.limits import Limit, Limits
from engine.messages import (
    PRIORITIES,
    Again,
    Done,
    Guarantee,
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
from engine.ports.broker import Duplicate, Leased, Queued, QueueStats, Refused, Replaced, Settled, Verdict
from engine.ports.explanation import Explanation, WaitsAt
from engine.redis_keys import chat_id_of, chat_name

Row = Sequence[Any]
Bodies = Iterator[bytes]

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode
_body = msgspec.msgpack.Decoder(tuple[int, int, str | None, bytes])
_guarantees = tuple(Guarantee)


# There


def limits_row(limits: Limits) -> dict[str, Any]:
    names = ("ceiling", "bot", "paid", "purse", "chat", "group", "user")
    numbers = ("version", "saved_up", "guard_ms", "adapt_least", "chat_cap", "bot_cap")
    return {
        **{name: _limit(getattr(limits, name)) for name in names},
        **{name: getattr(limits, name) for name in numbers},
        "shares": [limits.shares[priority] for priority in PRIORITIES],
    }


def _limit(limit: Limit) -> dict[str, int | bool]:
    return {"count": limit.count, "window_ms": limit.window_ms, "burst": limit.burst or False}


def message_row(message: Outgoing) -> Row:
    return (
        message.id,
        str(message.bot_id),
        chat_name(message.chat_id),
        PRIORITIES.index(message.priority) + 1,
        message.cost,
        message.ready_at_ms,
        _or_false(message.expires_at_ms),
        message.attempt,
        _or_false(message.replaces),
        False if message.user_id is None else str(message.user_id),
        message.is_paid,
        message.method,
    )


def body(message: Outgoing) -> bytes:
    guarantee = _guarantees.index(message.guarantee)
    return pack((message.submitted_at_ms, guarantee, message.dedup_key, message.params))


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
        *_then_row(settlement.then),
    )


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


# And back


def message_of(row: Row, bodies: Bodies) -> Outgoing:
    message_id, bot_id, chat, place, cost, ready_at_ms, expires_at_ms, attempt, replaces, user_id, is_paid, method = row
    submitted_at_ms, guarantee, dedup_key, params = _body.decode(next(bodies))
    return Outgoing(
        id=message_id,
        bot_id=int(bot_id),
        chat_id=chat_id_of(chat),
        method=method,
        params=params,
        priority=PRIORITIES[place - 1],
        cost=cost,
        submitted_at_ms=submitted_at_ms,
        ready_at_ms=ready_at_ms,
        expires_at_ms=_or_none(expires_at_ms),
        guarantee=_guarantees[guarantee],
        dedup_key=dedup_key,
        attempt=attempt,
        replaces=_or_none(replaces),
        user_id=None if user_id is False else int(user_id),
        is_paid=is_paid,
    )


def messages_of(rows: Sequence[Row], bodies: Bodies) -> list[Outgoing]:
    return [message_of(row, bodies) for row in rows]


def leases_of(rows: Sequence[Row], bodies: Bodies, *, worker_id: str, incarnation: int) -> list[Lease]:
    return [
        Lease(message_of(row, bodies), attempt, worker_id, incarnation, number, until_ms)
        for row, attempt, number, until_ms in rows
    ]


def leased_of(row: Row, bodies: Bodies, *, worker_id: str) -> Leased:
    leases, expired, wake_at_ms, _, incarnation, _ = row
    gone = tuple(messages_of(expired, bodies))
    given = leases_of(leases, bodies, worker_id=worker_id, incarnation=incarnation)
    return Leased(tuple(given), gone, _or_none(wake_at_ms))


def verdict_of(row: Row, message: Outgoing, bodies: Bodies) -> Verdict:
    match row:
        case ["queued"]:
            return Queued()
        case ["queued", older]:
            return Queued(instead_of=message_of(older, bodies))
        case ["replaced", by]:
            return Replaced(by=by)
        case ["refused", chat, cap]:
            return Refused(message.bot_id, None if chat is False else chat_id_of(chat), cap)
        case _:
            return Duplicate()


def settled_of(row: Row) -> Settled:
    held, holds = row
    return Settled(held, tuple(Hold(int(bot_id), chat_id_of(chat), until_ms) for bot_id, chat, until_ms in holds))


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
    bots, adapted, paid = ({int(bot_id): count for bot_id, count in rows} for rows in by_bot)
    return QueueStats(dict(zip(PRIORITIES, waiting, strict=True)), retry, leased, bots, adapted, paid)


def _or_none(value: Any) -> Any:
    return None if value is False else value
