"""Slows an address that tries out bearer tokens, and no other one.

An answer that comes late slows only a client that waits for it; what counts is how many tokens are looked at. So of the
wrong ones that an address sends, some are looked at, and then one a second. What goes beyond is refused unseen, even if
it were right. A token that was right from an address before is served at once whatever else comes from there: clients
behind one proxy, or on one machine, do not lock each other out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

import structlog

from tempogram.api.security.principals import Principal
from tempogram.engine.ports import Clock

log = structlog.get_logger()

AT_ONCE = 20
EVERY_MS = 1_000
"""Wrong tokens of an address that are looked at, and how soon another one is. untuned: a person mistypes a few, and a
Prometheus with an old token asks less often."""

ADDRESSES_MAX = 10_000
"""Addresses that are remembered, the oldest forgotten first: some 3 MB."""

LINE_EVERY_MS = 60_000
LINES_APART_MS = 1_000
"""Between two log lines about one address, and about any two: an attack must not fill the disk."""

NETWORK_BITS = 64
"""What one subscriber has at least. Source: https://www.rfc-editor.org/rfc/rfc6177"""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True)
class Address:
    """One address. ``free_at_ms``: when all its places are free again. ``refused``: since its last log line."""

    free_at_ms: int = 0
    line_at_ms: int = 0
    refused: int = 0


class WrongTokens:
    """Decides which tokens are looked at.

    Args:
        count: Is called for each token that is refused, looked at or not.
    """

    def __init__(self, *, clock: Clock, count: Callable[[], None]) -> None:
        self._clock = clock
        self._count = count
        self._addresses: dict[str, Address] = {}
        self._proven: dict[tuple[str, str], None] = {}
        self._line_at_ms = 0

    def looks_at(self, host: str, key: str) -> bool:
        """Tell whether an API token from an address is worth a query; see ``Principal.key``."""
        address = address_of(host)
        return (address, key) in self._proven or self._is_free(self._addresses.get(address), self._clock())

    def admits(self, host: str, principal: Principal | None) -> bool:
        """Take note of a token that came from an address; tell whether it is looked at.

        Args:
            host: The client's IP address; "" where there is none, as on a Unix socket.
            principal: Whose token it is; None: it is wrong.
        """
        address, now_ms = address_of(host), self._clock()
        if principal is not None and (address, principal.key) in self._proven:
            return True
        state = self._addresses.get(address)
        is_free = self._is_free(state, now_ms)
        if principal is not None and is_free:
            _keep(self._proven, (address, principal.key), None)
            return True
        self._note_refused(address, state or Address(), now_ms, takes_place=is_free)
        return is_free

    @staticmethod
    def _is_free(state: Address | None, now_ms: int) -> bool:
        return state is None or state.free_at_ms - now_ms <= (AT_ONCE - 1) * EVERY_MS

    def _note_refused(self, address: str, state: Address, now_ms: int, *, takes_place: bool) -> None:
        self._count()
        state.refused += 1
        if takes_place:
            state.free_at_ms = max(state.free_at_ms, now_ms) + EVERY_MS
        _keep(self._addresses, address, state)
        if state.line_at_ms <= now_ms and self._line_at_ms <= now_ms:
            log.warning("tokens_refused", address=address, refused=state.refused)
            state.line_at_ms, state.refused = now_ms + LINE_EVERY_MS, 0
            self._line_at_ms = now_ms + LINES_APART_MS


def address_of(host: str) -> str:
    """Return what counts as one address: of IPv6 the network of one subscriber.

    >>> [address_of(host) for host in ("203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1:2:3:4", "testclient")]
    ['203.0.113.7', '203.0.113.7', '2001:db8::/64', 'testclient']
    """
    try:
        parsed = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    rest = 128 - NETWORK_BITS
    return f"{IPv6Address(int(parsed) >> rest << rest)}/{NETWORK_BITS}"


def _keep(kept: dict[Key, Value], key: Key, value: Value) -> None:
    """Put an entry last, and forget the first one of too many."""
    kept.pop(key, None)
    if len(kept) >= ADDRESSES_MAX:
        del kept[next(iter(kept))]
    kept[key] = value
