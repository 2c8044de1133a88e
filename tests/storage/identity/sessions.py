"""Begins sessions where nothing stands against it."""

from __future__ import annotations

from tempogram.storage.identity.sessions import ApiSessions, NewSession


async def begin(sessions: ApiSessions, user_id: str, *, address: str, now_ms: int) -> NewSession:
    begun = await sessions.add(user_id, address=address, now_ms=now_ms)
    assert begun is not None
    return begun
