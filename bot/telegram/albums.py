"""The outcome of an album of which only some items arrived: decision 0009 has the reasons.

Source: https://github.com/tdlib/telegram-bot-api (``failed to send message #N``; N is the first that failed) and
https://core.telegram.org/bots/api#sendmediagroup (an album has 2 to 10 items)
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tempogram.engine.model.messages import Outgoing, Rest
from tempogram.engine.model.outcomes import HalfSent, Outcome, Rejected, Throttled

ALBUM = "sendMediaGroup"

_FIRST_FAILED = re.compile(r"failed to send message #([0-9]{1,2}) with the error message", re.IGNORECASE)


def album_outcome(message: Outgoing, outcome: Outcome) -> Outcome:
    """Return the outcome of an album: the items before the first that failed have arrived."""
    if message.method != ALBUM or not isinstance(outcome, Throttled | Rejected):
        return outcome
    failed = _FIRST_FAILED.search(outcome.reason)
    delivered = int(failed[1]) - 1 if failed else 0
    rest = rest_of(message.params, delivered) if delivered > 0 else None
    return outcome if rest is None else HalfSent(delivered, rest, outcome)


def rest_of(params: bytes, delivered: int) -> Rest | None:
    """Return the call that sends the items of an album after the first ``delivered``; None if there are none.

    >>> rest_of(b'{"media":[{"type":"photo","media":"a"},{"type":"video","media":"b","caption":"c"}]}', 1)
    Rest(method='sendVideo', params=b'{"video":"b","caption":"c"}', cost=1)
    """
    shared: dict[str, Any] = msgspec.json.decode(params)
    items = shared.pop("media")[delivered:]
    if not items:
        return None
    if len(items) > 1:
        return Rest(ALBUM, msgspec.json.encode(shared | {"media": items}), len(items))
    item = dict(items[0])
    kind = item.pop("type")
    # An item's fields are its own method's parameters; only the file is named after its kind there.
    single = shared | {kind: item.pop("media")} | item
    return Rest(f"send{_capitalized(kind)}", msgspec.json.encode(single), 1)


def _capitalized(kind: str) -> str:
    """Return a kind as method names spell it.

    >>> _capitalized("live_photo")
    'LivePhoto'
    """
    return "".join(word.capitalize() for word in kind.split("_"))
