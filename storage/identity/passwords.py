"""How passwords are stored: argon2id, in a thread, since one takes some 30 ms of a core."""

from __future__ import annotations

import asyncio
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tempogram.engine.model.errors import EngineError

CHARACTERS_MIN = 12
CHARACTERS_MAX = 256
"""A passphrase fits; more would only cost time. Source: https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver"""

MEMORY_KIB = 19_456
PASSES = 2
"""Source: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id"""

AT_ONCE = 2
"""Computed at the same time by a process: 40 MB. Further log-ins wait."""


class UnfitPassword(EngineError):
    """A password is too short or too long; it is not quoted."""


class Passwords:
    """Makes and compares digests of passwords."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def digest(self, password: str) -> str:
        """Return what is stored of a password.

        Raises:
            UnfitPassword: It is too short or too long.
        """
        if not CHARACTERS_MIN <= len(password) <= CHARACTERS_MAX:
            raise UnfitPassword(
                f"the password has {len(password)} characters; it needs {CHARACTERS_MIN} to {CHARACTERS_MAX}"
            )
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, _bytes(password))

    async def is_of(self, digest: str | None, password: str) -> bool:
        """Compare a password with what is stored; None takes as long and is never equal, so names cannot be probed."""
        if len(password) > CHARACTERS_MAX:
            return False
        async with self._turns:
            return await asyncio.to_thread(self._compare, digest or self._of_none, password) and digest is not None

    def _compare(self, digest: str, password: str) -> bool:
        try:
            return self._hasher.verify(digest, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    @cached_property
    def _of_none(self) -> str:
        return self._hasher.hash(b"no user has this password")


def _bytes(password: str) -> bytes:
    return password.encode(errors="surrogatepass")
