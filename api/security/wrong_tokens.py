"""Slows an address that tries out bearer tokens, and no other one.

An answer that comes late slows only a client that waits for it; what counts is how many tokens are looked at. So of the
wrong ones that an address sends, some are looked at, and then one a second. What goes beyond is refused unseen, even if
it were right. A token that was right from an address before is served at once whatever else comes from there: clients
behind one proxy, or on one machine, do not lock each other out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import structlog

from tempogram.api.security.allowance import Allowance, keep
from tempogram.api.security.principals import Principal
from tempogram.engine.ports import Clock

log = structlog.get_logger()

AT_ONCE = 20
EVERY_MS = 1_000
"""Wrong tokens of an address that are looked at, and how soon another one is. untuned: a person mistypes a few, and a
Prometheus with an old token asks less often."""

LINE_EVERY_MS = 60_000
LINES_APART_MS = 1_000
"""Between two log lines about one address, and about any two: an attack must not fill the disk."""

NETWORK_BITS = 64
"""What one subscriber has at least. Source: https://www.rfc-editor.org/rfc/rfc6177"""


@dataclass(slots=True)
class Refused:
    """Tokens of one address that were refused since its last log line."""

    line_at_ms: int = 0
    count: int = 0


class WrongTokens:
    """Decides which tokens are looked at.

    Args:
        count: Is called for each token that is refused, looked at or not.
    """

    def __init__(self, *, clock: Clock, count: Callable[[], None]) -> None:
        self._clock = clock
        self._count = count
        self._places = Allowance(at_once=AT_ONCE, every_ms=EVERY_MS, clock=clock)
        self._refused: dict[str, Refused] = {}
        self._proven: dict[tuple[str, str], None] = {}
        self._line_at_ms = 0

    def looks_at(self, host: str, key: str) -> bool:
        """Tell whether an API token from an address is worth a query; see ``Principal.key``."""
        address = address_of(host)
        return (address, key) in self._proven or self._places.is_free(address)

    def admits(self, host: str, principal: Principal | None) -> bool:
        """Take note of a token that came from an address; tell whether it is looked at.

        Args:
            host: The client's IP address; "" where there is none, as on a Unix socket.
            principal: Whose token it is; None: it is wrong.
        """
        address = address_of(host)
        if principal is not None and (address, principal.key) in self._proven:
            return True
        is_free = self._places.is_free(address)
        if principal is not None and is_free:
            keep(self._proven, (address, principal.key), None)
            return True
        if is_free:
            self._places.take(address)
        self._note_refused(address)
        return is_free

    def _note_refused(self, address: str) -> None:
        self._count()
        now_ms, refused = self._clock(), self._refused.get(address) or Refused()
        refused.count += 1
        keep(self._refused, address, refused)
        if refused.line_at_ms <= now_ms and self._line_at_ms <= now_ms:
            log.warning("tokens_refused", address=address, refused=refused.count)
            refused.line_at_ms, refused.count = now_ms + LINE_EVERY_MS, 0
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
