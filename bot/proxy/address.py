"""Where the proxy is: ``TELEGRAM_PROXY``, read."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

SCHEMES = {"http": "http", "socks5": "socks5", "socks5h": "socks5"}
"""curl writes ``socks5h`` where the proxy looks up names; here it always does."""

FORM = (
    "write it like http://host:3128 or socks5://user:password@host:1080, with : / # ? @ % in a password as "
    "%3A %2F %23 %3F %40 %25"
)
WANTS_USER = 407
"""The status with which an HTTP proxy asks for a user. Source: https://www.rfc-editor.org/rfc/rfc9110#status.407"""

FIELD_BYTES_MAX = 255
"""Of a user and a password for SOCKS5. Source: https://www.rfc-editor.org/rfc/rfc1929"""

_PLAIN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP or SOCKS5 proxy.

    Attributes:
        scheme: ``http`` or ``socks5``.
        user: Empty: it asks for none.
    """

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return its address, which holds no password."""
        return authority(self.host, self.port)

    def takes_whole_calls(self, scheme: str) -> bool:
        """Tell whether calls to such an address are handed to it as they are; all others go through a tunnel.

        A proxy may refuse a tunnel to any port but 443.
        Source: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6-11
        """
        return self.scheme == scheme == "http"

    @property
    def headers(self) -> dict[str, str]:
        """Return what each request that an HTTP proxy reads bears."""
        if not self.user:
            return {}
        credentials = b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {credentials}"}


def parse_proxy(url: str) -> Proxy:
    """Read the address of a proxy.

    Raises:
        ValueError: It is none. The text quotes nothing of it: any part may be a piece of the password.

    >>> str(parse_proxy("socks5://me:s%3Aecret@10.0.0.1:1080"))
    '10.0.0.1:1080'
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"it is not an address; {FORM}") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"it begins with none of http://, socks5://, socks5h://; {FORM}")
    if not host or not port or not _PLAIN.fullmatch(url) or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"it must have a host and a port, and nothing behind them; {FORM}")
    proxy = Proxy(SCHEMES[parts.scheme], host, port, unquote(parts.username or ""), unquote(parts.password or ""))
    _check_user(proxy)
    return proxy


def _check_user(proxy: Proxy) -> None:
    if proxy.scheme == "http":
        if ":" in proxy.user:
            raise ValueError("its user has a colon, which HTTP does not allow")
    elif not (proxy.user + proxy.password).isascii() or len(max(proxy.user, proxy.password, key=len)) > FIELD_BYTES_MAX:
        raise ValueError(f"its user and password may have {FIELD_BYTES_MAX} ASCII characters each, as SOCKS5 has it")
    if proxy.password and not proxy.user:
        raise ValueError("it has a password and no user")
    if any(not character.isprintable() for character in proxy.user + proxy.password):
        raise ValueError("its user or password has a control character")


def authority(host: str, port: int) -> str:
    """Return a host and a port as an address has them.

    >>> authority("10.0.0.1", 80), authority("::1", 80)
    ('10.0.0.1:80', '[::1]:80')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
