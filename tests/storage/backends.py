"""The two databases that every storage test runs on, and messages to fill them with."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Outgoing, Status
from tempogram.engine.ports.ledger import Record

BOT = 42
CHAT = 7
NOW_MS = 1_700_000_000_000

_ids = Ids(process=1)
_ticks = count(NOW_MS)


class OnSqlite:
    @pytest.fixture
    def url(self, sqlite_url: str) -> str:
        return sqlite_url


@pytest.mark.postgres
class OnPostgres:
    @pytest.fixture
    def url(self, empty_postgres: str) -> str:
        return empty_postgres


def message(**changes: Any) -> Outgoing:
    """Return a message with an id of its own."""
    now_ms = next(_ticks)
    usual: dict[str, Any] = {
        "id": _ids.new(now_ms),
        "bot_id": BOT,
        "chat_id": CHAT,
        "method": "sendMessage",
        "params": b'{"text":"hello"}',
        "submitted_at_ms": now_ms,
    }
    return Outgoing(**usual | changes)


def became(message: Outgoing, status: Status, **changes: Any) -> Record:
    """Return the record of a message's first attempt."""
    usual: dict[str, Any] = {
        "message_id": message.id,
        "bot_id": message.bot_id,
        "chat_id": message.chat_id,
        "cost": message.cost,
        "status": status,
        "attempt": 1,
        "recorded_at_ms": NOW_MS + 200,
        "outcome": "Sent" if status is Status.SENT else "Failed",
        "started_at_ms": NOW_MS + 100,
        "counted_at_ms": NOW_MS + 150,
    }
    return Record(**usual | changes)
