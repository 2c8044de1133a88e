"""A message as Redis keeps it: numbers at fixed positions, then words, then its body.

Both sides read and write the same bytes (``engine/brokers/redis/lua/shared/messages.lua``), so that a script hands on
what it leases instead of spelling it out again.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

import msgspec

from tempogram.engine.brokers.redis.keys import chat_id_of, chat_name
from tempogram.engine.model.messages import PRIORITIES, Guarantee, Lease, Outgoing

NONE = -1
"""Where a time is missing."""

_HEAD = Struct("<5B3I4q")
"""priority (its index), is_paid, pays, is_due, tried; cost, attempts before it came, attempts; ready, expires, number,
lease until."""

_WORD = Struct("<H")
"""The length of a word: bot, chat, replaces, user, method, position (if it is another's), worker."""

_NO_WORD = _WORD.pack(0)
_BODY = Struct("<I")
_guarantees = tuple(Guarantee)


class _Body(msgspec.Struct, array_like=True, gc=False):
    """What no script looks into; a message without a tag ends before it."""

    submitted_at_ms: int
    guarantee: int
    dedup_key: str | None
    params: bytes
    tag: str | None = None


_body = msgspec.msgpack.Decoder(_Body)


def record(message: Outgoing) -> bytes:
    """Return a message that comes now."""
    place, attempt = PRIORITIES.index(message.priority) + 1, message.attempt
    expires_at_ms = NONE if message.expires_at_ms is None else message.expires_at_ms
    user = "" if message.user_id is None else str(message.user_id)
    flags = message.is_paid, False, False, attempt > 0
    numbers = message.cost, attempt, attempt, message.ready_at_ms, expires_at_ms, 0, 0
    last = body(message)
    parts = (
        _HEAD.pack(place, *flags, *numbers),
        _word(str(message.bot_id)),
        _word(chat_name(message.chat_id)),
        _word(message.replaces or ""),
        _word(user),
        _word(message.method),
        _NO_WORD,
        _NO_WORD,
        _BODY.pack(len(last)),
        last,
    )
    return b"".join(parts)


def body(message: Outgoing) -> bytes:
    """Return what no script looks into."""
    guarantee = _guarantees.index(message.guarantee)
    always = message.submitted_at_ms, guarantee, message.dedup_key, message.params
    return msgspec.msgpack.encode(always if message.tag is None else (*always, message.tag))


def message_of(message_id: str, kept: bytes, *, with_spent: bool = False) -> Outgoing:
    """Return a message that waited; ``with_spent`` with all attempts that were spent, and not only before it came."""
    head = _HEAD.unpack_from(kept)
    return _message(message_id, kept, head, attempt=head[7] if with_spent else head[6], is_paid=bool(head[1]))


def lease_of(message_id: str, kept: bytes, *, worker_id: str, incarnation: int) -> Lease:
    head = _HEAD.unpack_from(kept)
    _, is_paid, pays, _, _, _, before, attempt, _, _, number, until_ms = head
    message = _message(message_id, kept, head, attempt=before, is_paid=bool(is_paid and pays))
    return Lease(message, attempt + 1, worker_id, incarnation, number, until_ms)


@lru_cache(maxsize=4096)
def _word(word: str) -> bytes:
    said = word.encode()
    return _WORD.pack(len(said)) + said


def _message(message_id: str, kept: bytes, head: tuple[int, ...], *, attempt: int, is_paid: bool) -> Outgoing:
    place, _, _, _, _, cost, _, _, ready_at_ms, expires_at_ms, _, _ = head
    at, words = _HEAD.size, []
    for _ in range(7):
        end = at + 2 + (kept[at] | kept[at + 1] << 8)
        words.append(kept[at + 2 : end].decode())
        at = end
    bot, chat, replaces, user, method, _, _ = words
    said = _body.decode(kept[at + _BODY.size :])
    return Outgoing(
        id=message_id,
        bot_id=int(bot),
        chat_id=chat_id_of(chat),
        method=method,
        params=said.params,
        priority=PRIORITIES[place - 1],
        cost=cost,
        submitted_at_ms=said.submitted_at_ms,
        ready_at_ms=ready_at_ms,
        expires_at_ms=None if expires_at_ms == NONE else expires_at_ms,
        guarantee=_guarantees[said.guarantee],
        dedup_key=said.dedup_key,
        attempt=attempt,
        replaces=replaces or None,
        user_id=int(user) if user else None,
        is_paid=is_paid,
        tag=said.tag,
    )
