"""What an answer of a model says that it cost, as servers with OpenAI's chat completions say it.

Source: https://platform.openai.com/docs/api-reference/chat/object (usage),
https://platform.openai.com/docs/api-reference/chat/streaming (the last chunk, with ``stream_options.include_usage``)
"""

from __future__ import annotations

import msgspec

from tempogram.engine.services.clients.http_requests import ReadAnswer


class _Usage(msgspec.Struct):
    total_tokens: int


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Answer).decode
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def total_tokens(answer: ReadAnswer) -> int | None:
    r"""Return how many tokens an answer cost, be it whole or in events; None: it does not say.

    >>> total_tokens(ReadAnswer(200, {}, b'{"usage": {"total_tokens": 7}}'))
    7
    >>> total_tokens(ReadAnswer(200, {}, b'data: {"usage": {"total_tokens": 9}}\n\ndata: [DONE]'))
    9
    """
    if not answer.body.lstrip().startswith((b"data:", b"event:", b":")):
        return _tokens(answer.body)
    for line in reversed(answer.body.splitlines()):
        if line.startswith(b"data:") and (tokens := _tokens(line[5:])) is not None:
            return tokens
    return None


def _tokens(text: bytes) -> int | None:
    try:
        usage = _decode(text).usage
    except UNREADABLE:
        return None
    return usage.total_tokens if usage is not None else None
