"""What users, API tokens and sessions are kept with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tempogram.api.core.repositories import ApiSessions, ApiTokens, LoginLinks, Users
from tempogram.api.security.known_credentials import KnownCredentials
from tempogram.api.security.log_in_throttle import LogInThrottle
from tempogram.engine.ports.changes import AccessChanged, Change
from tempogram.storage.identity.passwords import Passwords


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The repositories of users, tokens and sessions, and what must know of their changes.

    Attributes:
        known: What this process believes of tokens and sessions.
        throttle: Slows the guessing of passwords.
        announce: Notifies the other processes.
    """

    users: Users
    tokens: ApiTokens
    links: LoginLinks
    sessions: ApiSessions
    known: KnownCredentials
    throttle: LogInThrottle
    announce: Callable[[Change], Awaitable[None]]
    passwords: Passwords = field(default_factory=Passwords)

    async def changed(self) -> None:
        """Have every process look at each token and session again."""
        self.known.forget()
        await self.announce(AccessChanged())
