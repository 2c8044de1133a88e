"""Leaves a line in the log for a message that is tried again, and for one that is not delivered."""

from __future__ import annotations

import re

import structlog

from tempogram.engine.model.messages import Again, Status
from tempogram.engine.sending.attempt import Ruled

log = structlog.get_logger()

QUOTED = re.compile(r"""".*"|(?<!\w)'.*'(?!\w)""", re.DOTALL)
"""What Telegram quotes of a message when it refuses it, as in ``Unsupported start tag "x"``: up to the last quotation
mark, since what is quoted may have some."""


def log_failure(ruled: Ruled) -> None:
    """Leave a line, unless the message was sent or waits without having spent an attempt.

    ``message_retried`` is at INFO: a message leaves at most TELEGRAM_MAX_RETRIES of them, and while all calls fail the
    circuit breaker lets one a second through. What costs no attempt has its own line: ``throttled``, a condition.
    """
    message, then, fault = ruled.lease.message, ruled.ruling.then, ruled.ruling.fault
    fields = {
        "bot_id": message.bot_id,
        "chat_id": message.chat_id,
        "message_id": message.id,
        "method": message.method,
        "reason": "" if fault is None else without_quotes(fault.reason),
        "attempt": ruled.lease.attempt,
    }
    if ruled.ruling.status is Status.DEAD:
        log.warning("message_dead", **fields)
    elif ruled.ruling.status is Status.UNCERTAIN:
        log.warning("message_uncertain", **fields)
    elif isinstance(then, Again) and then.spent:
        log.info("message_retried", **fields, delay_ms=then.delay_ms)


def without_quotes(reason: str) -> str:
    r"""Return a reason without what it quotes, as no log line bears a message's text.

    >>> without_quotes('Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 0')
    'Bad Request: can\'t parse entities: Unsupported start tag "…" at byte offset 0'
    >>> without_quotes("Bad Request: inline keyboard button URL 'x' is invalid: Wrong HTTP URL")
    "Bad Request: inline keyboard button URL '…' is invalid: Wrong HTTP URL"
    """
    return QUOTED.sub(lambda found: f"{found[0][0]}…{found[0][-1]}", reason)
