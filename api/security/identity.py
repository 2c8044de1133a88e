"""What users and API tokens are kept with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tempogram.api.core.repositories import ApiTokens, LoginLinks, Users
from tempogram.api.security.api_tokens import KnownTokens
from tempogram.engine.ports.changes import AccessChanged, Change
from tempogram.storage.identity.passwords import Passwords


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The repositories of users and tokens, and what must know of their changes.

    Attributes:
        known: What this process believes of tokens.
        announce: Notifies the other processes.
    """

    users: Users
    tokens: ApiTokens
    links: LoginLinks
    known: KnownTokens
    announce: Callable[[Change], Awaitable[None]]
    passwords: Passwords = field(default_factory=Passwords)

    async def changed(self) -> None:
        """Have every process look at each token again."""
        self.known.forget()
        await self.announce(AccessChanged())
