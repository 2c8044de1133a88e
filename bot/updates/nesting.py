"""Reads what no parser takes: JSON with invalid unicode, or nested so deeply that parsing it would exhaust the stack.

No update should be so. One that was would be asked for again and again, with all that come after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

DEPTH_MAX = 256
"""Levels of arrays and objects in an update, far above Telegram's. Below what msgspec takes: a quarter of Python's own
limit of 1,000 for its stack, so that an update that was stored can be read again from anywhere."""

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""A string or a bracket. Every start of a string matches, also one that ends in a lone backslash: what did not would be
read again from each of its quotes."""

_RESULT = re.compile(rb'"result"\s*:\s*\Z')
_UPDATE_ID = re.compile(rb'"update_id"\s*:\s*([0-9]{1,18})')


def is_too_deep(body: bytes) -> bool:
    """Tell whether JSON is nested too deeply. The usual update has too few brackets for that, and is not looked into.

    >>> is_too_deep(b'{"a": [1, 2]}'), is_too_deep(b"[" * 300), is_too_deep(b'["' + b"[" * 300 + b'"]')
    (False, True, False)
    """
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return False
    return any(depth > DEPTH_MAX for _, depth in _tokens(body))


def is_cut_off(body: bytes) -> bool:
    """Tell whether JSON ends before its brackets are closed: sent again, it may be whole.

    >>> is_cut_off(b'{"text": "}'), is_cut_off(b'{"text": "}"}')
    (True, False)
    """
    depths = [depth for _, depth in _tokens(body)]
    return bool(depths) and depths[-1] > 0


def update_id_in(update: bytes) -> int | None:
    """Return the ``update_id`` of an update that cannot be parsed; None if it has none.

    >>> update_id_in(b'{"message": {"update_id": 1}, "update_id": 7}')
    7
    """
    names = (token.start() for token, depth in _tokens(update) if depth == 1 and token[0] == b'"update_id"')
    found = next(filter(None, (_UPDATE_ID.match(update, start) for start in names)), None)
    return None if found is None else int(found[1])


def updates_in(answer: bytes) -> list[bytes]:
    """Return the updates of an answer of ``getUpdates`` that cannot be parsed as a whole.

    >>> updates_in(b'{"ok": true, "result": [{"update_id": 1}, {"update_id": 2, "deep": [[]]}]}')
    [b'{"update_id": 1}', b'{"update_id": 2, "deep": [[]]}']
    """
    updates, start, is_result = [], 0, False
    for token, depth in _tokens(answer):
        match token[0], depth:
            case b"[", 2:
                is_result = _RESULT.search(answer, max(0, token.start() - 32), token.start()) is not None
            case b"{", 3:
                start = token.start()
            case b"}", 2 if is_result:
                updates.append(answer[start : token.end()])
    return updates


def _tokens(body: bytes) -> Iterator[tuple[re.Match[bytes], int]]:
    """Give each string and bracket with the depth after it."""
    depth = 0
    for token in _TOKEN.finditer(body):
        match token[0]:
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
        yield token, depth
