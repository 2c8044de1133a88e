"""Classifies Telegram's answers by code, parameters and wording.

Source: https://core.telegram.org/bots/api#making-requests and the server's own code,
https://github.com/tdlib/telegram-bot-api
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from tempogram.engine.model.outcomes import Failed, Migrated, Outcome, Rejected, Revoked, Sent, Throttled, Uncertain

_HIDDEN_429 = re.compile(r"Too Many Requests: retry after ([0-9]{1,9})")
"""A 429 inside a 400, seen with albums: ``failed to send message #1 with the error message "Too Many …"``."""

RETRY_AFTER_S = 1
"""For a 429 without ``retry_after``."""


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON of the expected type."""


class _Parameters(msgspec.Struct):
    retry_after: Annotated[int, msgspec.Meta(ge=0, lt=10**9)] | None = None
    migrate_to_chat_id: int | None = None


class _Answer(msgspec.Struct):
    ok: bool = False
    error_code: int | None = None
    description: str = ""
    parameters: _Parameters | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")


class _Chat(msgspec.Struct):
    id: int


class _Message(msgspec.Struct):
    message_id: int | None = None
    chat: _Chat | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode


def classify(status: int, body: bytes) -> Outcome:
    """Return the outcome of an HTTP answer.

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
        return _without_json(status)
    if answer.ok:
        return _sent(answer, body)
    return _refused(answer.error_code or status, answer)


def _without_json(status: int) -> Outcome:
    if status >= 500 or 300 <= status < 400:
        return Failed(f"HTTP {status}", status)  # a redirect is not followed
    if status == 429:
        return Throttled(RETRY_AFTER_S * 1_000)
    if status < 400:
        return Uncertain(f"HTTP {status} with an answer that is not Telegram's")
    if status == 413:
        return Rejected(status, f"HTTP {status}")
    return Failed(f"HTTP {status}", status)  # Telegram answers in JSON, so this came from a proxy


def _sent(answer: _Answer, body: bytes) -> Sent:
    message = _first_message(bytes(answer.result))
    return Sent(message.message_id, body, message.chat.id if message.chat else None)


def _first_message(result: bytes) -> _Message:
    """Return the message in a result, the first one of an album, or an empty one if there is none."""
    try:
        if result.startswith(b"["):
            return next(iter(_decode_messages(result)), _Message())
        return _decode_message(result) if result.startswith(b"{") else _Message()
    except UNREADABLE:
        return _Message()  # a list of something else, which is a success too


def _refused(code: int, answer: _Answer) -> Outcome:
    parameters, reason = answer.parameters or _Parameters(), answer.description
    if code == 429:
        return Throttled((parameters.retry_after or RETRY_AFTER_S) * 1_000, reason)
    if hidden := _HIDDEN_429.search(reason):
        return Throttled(int(hidden[1]) * 1_000, reason)
    if parameters.migrate_to_chat_id is not None:
        return Migrated(parameters.migrate_to_chat_id)
    if code == 401:
        return Revoked(reason)
    if code >= 500:
        return Failed(reason, code)
    return Rejected(code, reason, unreachable=code == 403)
