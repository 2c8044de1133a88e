"""Classifies Telegram's answers by code, parameters and wording.

Source: https://core.telegram.org/bots/api#making-requests and the server's own code,
https://github.com/tdlib/telegram-bot-api
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Annotated

import msgspec

from tempogram.engine.model.outcomes import Failed, Migrated, Outcome, Rejected, Revoked, Sent, Throttled, Uncertain

_HIDDEN_429 = re.compile(r"Too Many Requests: retry after ([0-9]{1,9})")
"""A 429 inside a 400, seen with albums: ``failed to send message #1 with the error message "Too Many …"``."""

_WAIT_IN_TEXT = re.compile(r"retry after ([0-9]{1,9})", re.IGNORECASE)

TEXT_BYTES_MAX = 4_096
"""How much of a 429 that is not JSON is searched for its wait. untuned: the sentence stands in the first line."""

RETRY_AFTER_S = 1
"""For a 429 that names no wait."""

RETRY_AFTER_S_MAX = 86_400
"""For a wait that only a header names, which a proxy may have written. untuned: after a day it is asked again."""


_REMOVED_AT_ONCE = "sent message was immediately deleted"
"""A 500 that says that the message was sent: the chat's own rules (an anti-spam bot's, say) have removed it."""

NOTHING_SHOWN = b'{"ok":true,"result":null}'

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON of the expected type."""


_Id = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""Of what is larger the database takes none, and Telegram promises 52 bits."""


class _Parameters(msgspec.Struct):
    retry_after: Annotated[int, msgspec.Meta(ge=0, lt=10**9)] | None = None
    migrate_to_chat_id: _Id | None = None


class _Answer(msgspec.Struct):
    ok: bool = False
    error_code: Annotated[int, msgspec.Meta(ge=0, lt=1_000)] | None = None
    description: str = ""
    parameters: _Parameters | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")


class _Chat(msgspec.Struct):
    id: _Id


class _Message(msgspec.Struct):
    message_id: _Id | None = None
    chat: _Chat | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode


def classify(status: int, body: bytes, *, header_s: int | None = None) -> Outcome:
    """Return the outcome of an HTTP answer; ``header_s`` is what ``header_wait_s`` says of its headers.

    >>> classify(200, b'{"ok":true,"result":{"message_id":7,"chat":{"id":5}}}').telegram_message_id
    7
    >>> classify(429, b'{"ok":false,"description":"Too Many Requests","parameters":{"retry_after":3}}')
    Throttled(retry_after_ms=3000, reason='Too Many Requests')
    >>> classify(502, b"<html>")
    Failed(reason='HTTP 502', code=502, is_ours=False)
    """
    try:
        answer = _decode_answer(body)
    except UNREADABLE:
        return _without_json(status, body, header_s)
    if answer.ok:
        return _sent(answer, body)
    if answer.error_code is None and status != 429:  # a proxy's JSON, which must not stop a bot or a chat
        return _without_json(status, body, header_s)
    return _refused(answer.error_code or status, answer, header_s)


def header_wait_s(retry_after: str, date: str = "") -> int | None:
    """Return the seconds that a ``Retry-After`` header asks for; None if it makes no sense.

    A time is compared with the answer's own ``Date``: the clock of this machine may be another.
    Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after

    >>> header_wait_s("8"), header_wait_s("soon"), header_wait_s("-3")
    (8, None, None)
    >>> header_wait_s("Fri, 07 Nov 2026 23:59:59 GMT", "Fri, 07 Nov 2026 23:59:49 GMT")
    10
    """
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_S_MAX)
    until = _http_date(text)
    if until is None:
        return None
    wait_s = ceil((until - (_http_date(date) or datetime.now(UTC))).total_seconds())
    return min(wait_s, RETRY_AFTER_S_MAX) if wait_s >= 0 else None


def throttled_s(*, parameter: int | None, header_s: int | None, text: str) -> int:
    """Return the seconds that a 429 asks for: as its parameter says, or else its header, or else its text.

    >>> throttled_s(parameter=None, header_s=None, text="Too Many Requests: retry after 8")
    8
    """
    in_text = _WAIT_IN_TEXT.search(text)
    said = (parameter, header_s, int(in_text[1]) if in_text else None)
    return next((seconds for seconds in said if seconds), RETRY_AFTER_S)


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _without_json(status: int, body: bytes, header_s: int | None) -> Outcome:
    if status >= 500 or 300 <= status < 400:
        return Failed(f"HTTP {status}", status)  # a redirect is not followed
    if status == 429:
        text = body[:TEXT_BYTES_MAX].decode(errors="replace")
        return Throttled(throttled_s(parameter=None, header_s=header_s, text=text) * 1_000)
    if status < 400:
        return Uncertain(f"HTTP {status} with an answer that is not Telegram's")
    if status == 413:
        return Rejected(status, f"HTTP {status}")
    return Failed(f"HTTP {status}", status)  # Telegram answers in JSON, so this came from a proxy


def _sent(answer: _Answer, body: bytes) -> Sent:
    messages = _messages(bytes(answer.result))
    first = messages[0] if messages else _Message()
    numbers = tuple(each.message_id for each in messages if each.message_id is not None)
    item_ids = numbers if len(messages) > 1 else ()
    return Sent(first.message_id, body, first.chat.id if first.chat else None, item_ids=item_ids)


def _messages(result: bytes) -> list[_Message]:
    """Return the message in a result, those of an album, or none if there is none."""
    try:
        if result.startswith(b"["):
            return _decode_messages(result)
        return [_decode_message(result)] if result.startswith(b"{") else []
    except UNREADABLE:
        return []  # a list of something else, which is a success too


def _refused(code: int, answer: _Answer, header_s: int | None) -> Outcome:
    parameters, reason = answer.parameters or _Parameters(), answer.description.replace("\0", "")
    if code == 429:
        wait_s = throttled_s(parameter=parameters.retry_after, header_s=header_s, text=reason)
        return Throttled(wait_s * 1_000, reason)
    if hidden := _HIDDEN_429.search(reason):
        return Throttled(int(hidden[1]) * 1_000, reason)
    if parameters.migrate_to_chat_id is not None:
        return Migrated(parameters.migrate_to_chat_id)
    if _REMOVED_AT_ONCE in reason:
        return Sent(None, NOTHING_SHOWN, removed=reason)
    if code == 401:
        return Revoked(reason)
    if code >= 500:
        return Failed(reason, code)
    return Rejected(code, reason, unreachable=code == 403)
