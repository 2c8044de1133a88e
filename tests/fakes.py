"""Stand-ins for the world: ordinary code that a test can hold in its hand."""

from __future__ import annotations

from tempogram.engine.model.messages import ChatId, Outgoing, Priority

START_MS = 1_700_000_000_000


class Clock:
    """Time that passes when a test says so.

    >>> clock = Clock()
    >>> clock.advance(40)
    >>> clock() - START_MS
    40
    """

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, ms: int) -> None:
        self.now_ms += ms


def outgoing(
    message_id: str,
    *,
    bot_id: int = 1,
    chat_id: ChatId | None = 7,
    priority: Priority = Priority.NORMAL,
    cost: int = 1,
    ready_at_ms: int = 0,
    expires_at_ms: int | None = None,
    attempt: int = 0,
    replaces: str | None = None,
    method: str = "sendMessage",
    user_id: int | None = None,
    is_paid: bool = False,
) -> Outgoing:
    """Return a message of which only what matters to the test is said."""
    return Outgoing(
        id=message_id,
        bot_id=bot_id,
        chat_id=chat_id,
        method=method,
        params=b'{"text":"hello"}',
        priority=priority,
        cost=cost,
        ready_at_ms=ready_at_ms,
        expires_at_ms=expires_at_ms,
        attempt=attempt,
        replaces=replaces,
        user_id=user_id,
        is_paid=is_paid,
    )
