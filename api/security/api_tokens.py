"""Whose API token it is: read from the database, and believed for a second.

So a token that is revoked, and one of a user that is disabled or has another role, acts no more within a second in any
process, also while Redis is away; a process that is notified forgets at once. Only valid tokens are kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from tempogram.api.security.principals import Principal
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports import Clock
from tempogram.storage.identity.secrets import Credential, Kind
from tempogram.storage.identity.tokens import USED_EVERY_MS, ApiToken

BELIEVED_MS = 1_000
"""A read takes some 0.7 ms on SQLite, 1.5 ms on PostgreSQL; see ``bench.identity``."""

TOKENS_MAX = 1_000
"""Tokens that are kept, the oldest forgotten first: some 0.5 MB."""


class TokenReader(Protocol):
    """See ``storage.identity.tokens.ApiTokens``."""

    async def of_text(self, text: str, *, now_ms: int) -> ApiToken | None: ...

    async def note_use(self, token_id: str, *, now_ms: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Believed:
    """Whose a token is, and when that was read."""

    principal: Principal
    at_ms: int


class KnownTokens:
    """Tells whose an API token is; it keeps digests only."""

    def __init__(self, tokens: TokenReader, *, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._believed: dict[bytes, Believed] = {}
        self._times_forgotten = 0

    def __repr__(self) -> str:
        return "KnownTokens(…)"

    async def principal_of(self, text: str, *, may_ask: Callable[[str], bool]) -> Principal | None:
        """Return whose token this is; None: it is not valid, or was not looked at.

        Args:
            text: What the request has.
            may_ask: Tells whether the token of this id is worth a query.

        Raises:
            LedgerError: The database cannot be read.

        Cost: one query a second for a valid token; one for any other that ends in its checksum, and no write.
        """
        credential = Credential.read(text, Kind.TOKEN)
        if credential is None:
            return None
        digest, now_ms = sha256(text.encode()).digest(), self._clock()
        if (believed := self._believed.get(digest)) is not None and _holds(believed, now_ms):
            return believed.principal
        return await self._read(text, digest, now_ms) if may_ask(credential.id) else None

    def forget(self) -> None:
        """Read each token again: a user or a token was changed."""
        self._believed.clear()
        self._times_forgotten += 1

    async def _read(self, text: str, digest: bytes, now_ms: int) -> Principal | None:
        before = self._times_forgotten
        self._believed.pop(digest, None)
        token = await self._tokens.of_text(text, now_ms=now_ms)
        if token is None:
            return None
        principal = _principal(token)
        if self._times_forgotten == before:  # else it may be older than the change
            self._keep(digest, Believed(principal, now_ms))
        if token.last_used_at_ms is None or token.last_used_at_ms <= now_ms - USED_EVERY_MS:
            with suppress(LedgerError):  # it is only for people to see
                await self._tokens.note_use(token.id, now_ms=now_ms)
        return principal

    def _keep(self, digest: bytes, believed: Believed) -> None:
        if len(self._believed) >= TOKENS_MAX:
            del self._believed[next(iter(self._believed))]
        self._believed[digest] = believed


def _holds(believed: Believed, now_ms: int) -> bool:
    expires_at_ms = believed.principal.expires_at_ms
    # A clock that was set back makes nothing valid for longer.
    return 0 <= now_ms - believed.at_ms < BELIEVED_MS and (expires_at_ms is None or now_ms < expires_at_ms)


def _principal(token: ApiToken) -> Principal:
    name = token.name if token.user_name is None else f"{token.user_name}/{token.name}"
    return Principal(
        name,
        token.role,
        bots=token.bots,
        token_id=token.id,
        user_id=token.user_id,
        expires_at_ms=token.expires_at_ms,
    )
