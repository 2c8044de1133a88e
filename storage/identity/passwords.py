"""How passwords are stored: argon2id, in a thread, since one takes some 30 ms of a core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from tempogram.engine.model.errors import EngineError

CHARACTERS_MIN = 12
CHARACTERS_MAX = 256
"""A passphrase fits; more would only cost time. Source: https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver"""

MEMORY_KIB = 19_456
PASSES = 2
"""Source: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id"""

AT_ONCE = 2
"""Computed at the same time by a process: 40 MB. Further ones wait."""

WAITING_MAX = 20
"""Those that wait, for some 0.3 s; further ones are refused. untuned: a team does not log in all at once."""

SCORE_MIN = 3
"""Of 0 to 4. Source: https://github.com/dropbox/zxcvbn#usage ("safely unguessable")"""

ESTIMATED_CHARACTERS_MAX = 72
"""What zxcvbn takes: its time grows with the square of them, to some 70 ms."""

WORDS = ("tempogram", "telegram", "password", "dashboard")
"""What is tried first, here, beside the user's name."""


class UnfitPassword(EngineError):
    """A password is too short, too long or too easy to guess; it is not quoted."""


class TooManyPasswords(EngineError):
    """Too many passwords are waiting to be compared; this one was not looked at."""

    def __init__(self) -> None:
        super().__init__("too many log-ins are waiting; try again in a moment")


class Passwords:
    """Makes and compares digests of passwords."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def digest(self, password: str, *, user_name: str = "") -> str:
        """Return what is stored of a password.

        Raises:
            UnfitPassword: It is too short, too long, or one that is tried soon, such as the user's name.
            TooManyPasswords: Too many others wait.
        """
        if not CHARACTERS_MIN <= len(password) <= CHARACTERS_MAX:
            raise UnfitPassword(
                f"the password has {len(password)} characters; it needs {CHARACTERS_MIN} to {CHARACTERS_MAX}"
            )
        async with self._turn():
            if await asyncio.to_thread(_score, password, user_name) < SCORE_MIN:
                raise UnfitPassword(
                    "the password is too easy to guess: it is a common one, a name, a pattern of keys or repeats "
                    "itself; a few words that do not belong together are a good one"
                )
            return await asyncio.to_thread(self._hasher.hash, _bytes(password))

    async def is_of(self, digest: str | None, password: str) -> bool:
        """Compare a password with what is stored; None takes as long and is never equal, so names cannot be probed.

        Raises:
            TooManyPasswords: Too many others wait.
        """
        if len(password) > CHARACTERS_MAX:
            return False
        async with self._turn():
            return await asyncio.to_thread(self._compare, digest or self._of_none, password) and digest is not None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING_MAX:
            raise TooManyPasswords
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def _compare(self, digest: str, password: str) -> bool:
        try:
            return self._hasher.verify(digest, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    @cached_property
    def _of_none(self) -> str:
        return self._hasher.hash(b"no user has this password")


def _score(password: str, user_name: str) -> int:
    estimate = zxcvbn(password[:ESTIMATED_CHARACTERS_MAX], user_inputs=[user_name, *WORDS])
    return int(estimate["score"])


def _bytes(password: str) -> bytes:
    return password.encode(errors="surrogatepass")
