"""A result, or how far a call is, as bytes for another process, which may run another version of this program."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tempogram.engine.model.messages import Rest, Status
from tempogram.engine.model.outcomes import (
    Failed,
    HalfSent,
    Lost,
    Migrated,
    Outcome,
    Overdue,
    Rejected,
    Revoked,
    Sent,
    Throttled,
    Uncertain,
    Unquoted,
    Unready,
)
from tempogram.engine.ports.results import Progress, Result

Named = tuple[str, msgspec.Raw]
"""An outcome under the name of its kind."""


@dataclass(frozen=True, slots=True)
class HalfSentRow:
    """``HalfSent``, whose cause is one of several kinds."""

    delivered: int
    rest: Rest
    cause: Named


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """``Rejected``, whose doubt is resolved before it is published."""

    code: int
    reason: str
    unreachable: bool = False


FLAT = {
    kind.__name__.lower(): kind
    for kind in (Sent, Throttled, Migrated, Revoked, Failed, Uncertain, Lost, Overdue, Unquoted, Unready)
}
HALF_SENT = HalfSent.__name__.lower()
REJECTED = Rejected.__name__.lower()

_encode = msgspec.msgpack.encode
_row = msgspec.msgpack.Decoder(tuple[str, Status, Named | None, str | None])
_progress = msgspec.msgpack.Decoder(tuple[str, bool, int])
_half_sent = msgspec.msgpack.Decoder(HalfSentRow)
_rejected = msgspec.msgpack.Decoder(RejectedRow)
_flat: dict[str, msgspec.msgpack.Decoder[Outcome]] = {
    name: msgspec.msgpack.Decoder(kind) for name, kind in FLAT.items()
}


class Unknown(Exception):
    """This version does not know such a result."""


PROGRESS = _encode(("", False, 0))[:1]
"""How a progress begins: as a row of three, where a result has four."""


def pack(result: Result | Progress) -> bytes:
    if isinstance(result, Progress):
        return _encode((result.message_id, result.is_calling, result.age_ms))
    outcome = None if result.outcome is None else _named(result.outcome)
    return _encode((result.message_id, result.status, outcome, result.replaced_by))


def unpack(data: bytes) -> Result | Progress:
    """Return what was packed.

    Raises:
        Unknown: Another version packed it in another format, or it is not ours.
    """
    try:
        if data.startswith(PROGRESS):
            return Progress(*_progress.decode(data))
        message_id, status, named, replaced_by = _row.decode(data)
        return Result(message_id, status, None if named is None else _outcome(named), replaced_by)
    except (msgspec.DecodeError, KeyError) as error:
        raise Unknown(str(error)) from None


def _named(outcome: Outcome) -> Named:
    row: object = outcome
    if isinstance(outcome, HalfSent):
        row = HalfSentRow(outcome.delivered, outcome.rest, _named(outcome.cause))
    elif isinstance(outcome, Rejected):
        row = RejectedRow(outcome.code, outcome.reason, outcome.unreachable)
    return type(outcome).__name__.lower(), msgspec.Raw(_encode(row))


def _outcome(named: Named) -> Outcome:
    name, data = named
    if name == REJECTED:
        refused = _rejected.decode(data)
        return Rejected(refused.code, refused.reason, refused.unreachable)
    if name != HALF_SENT:
        return _flat[name].decode(data)
    row = _half_sent.decode(data)
    cause = _outcome(row.cause)
    if not isinstance(cause, Throttled | Rejected | Failed):
        raise KeyError(row.cause[0])
    return HalfSent(row.delivered, row.rest, cause)
