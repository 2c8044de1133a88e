"""Slows the guessing of passwords, by address and by account, and locks no account's owner out.

A browser that has logged in to an account before has a cookie that says so, and places of its own: guesses of others
take none of them. A link of an admin lets in whatever was tried.
Source: https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import structlog

from tempogram.api.security.allowance import Allowance
from tempogram.api.security.wrong_tokens import LINE_EVERY_MS, LINES_APART_MS, address_of
from tempogram.engine.ports import Clock
from tempogram.storage.identity.secrets import Digests, new_id

log = structlog.get_logger()

OF_ADDRESS, ADDRESS_EVERY_MS = 10, 6_000
OF_ACCOUNT, ACCOUNT_EVERY_MS = 10, 60_000
"""Wrong passwords that are compared at once, and how soon another one is: 1,440 a day for an account, over all
addresses. untuned: a person mistypes a few, and a password that zxcvbn lets pass is not among a million guesses."""


ALL = "all"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A log-in that took places. ``keys`` are what it counts for."""

    keys: Sequence[tuple[Allowance, Hashable]]

    def give_back(self) -> None:
        """It was right: it counts for nothing."""
        for allowance, key in self.keys:
            allowance.give_back(key)


class LogInThrottle:
    """Decides which passwords are compared."""

    def __init__(self, digests: Digests, *, clock: Clock) -> None:
        self._digests = digests
        self._clock = clock
        self._of_address = Allowance(at_once=OF_ADDRESS, every_ms=ADDRESS_EVERY_MS, clock=clock)
        self._of_account = Allowance(at_once=OF_ACCOUNT, every_ms=ACCOUNT_EVERY_MS, clock=clock)
        self._lines = Allowance(at_once=1, every_ms=LINE_EVERY_MS, clock=clock)
        self._lines_of_all = Allowance(at_once=1, every_ms=LINES_APART_MS, clock=clock)

    def attempt(self, host: str, name: str, device: str | None) -> Attempt | int:
        """Take places for comparing a password; a number: there are none for so many seconds.

        Args:
            host: The client's IP address.
            name: The account, as it was typed.
            device: The cookie of the browser; see ``device_of``.
        """
        account, known = name.casefold(), self._known_device(device, name)
        keys: list[tuple[Allowance, Hashable]] = (
            [(self._of_account, (account, known))]
            if known is not None
            else [(self._of_address, address_of(host)), (self._of_account, account)]
        )
        if wait_ms := max(allowance.wait_ms(key) for allowance, key in keys):
            self._note_throttled(address_of(host))
            return math.ceil(wait_ms / 1_000)
        for allowance, key in keys:
            allowance.take(key)
        return Attempt(keys)

    def _note_throttled(self, address: str) -> None:
        """Write a line of an address once a minute, and one a second of all: an attack must not fill the disk."""
        if self._lines.is_free(address) and self._lines_of_all.is_free(ALL):
            self._lines.take(address)
            self._lines_of_all.take(ALL)
            log.warning("log_in_refused", address=address, reason="throttled")

    def device_of(self, name: str, *, valid_s: int) -> str:
        """Return a cookie for a browser that has logged in to an account."""
        device, ends_at_ms = new_id(), self._clock() + valid_s * 1_000
        return f"{device}.{ends_at_ms}.{self._digests.signature(_signed(name, device, str(ends_at_ms)))}"

    def _known_device(self, cookie: str | None, name: str) -> str | None:
        device, _, rest = (cookie or "").partition(".")
        ends_at_ms, _, signature = rest.partition(".")
        if not self._digests.is_signature(signature, _signed(name, device, ends_at_ms)):
            return None
        return device if int(ends_at_ms) > self._clock() else None


def _signed(name: str, device: str, ends_at_ms: str) -> str:
    return f"device {device} {ends_at_ms} {name.casefold()}"
