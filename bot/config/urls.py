"""What is wrong with a URL, said without quoting it: a key or a password may stand anywhere in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

NO_SPACES = re.compile(r"[!-~\u00a1-\U0010ffff]+")

IN_PASSWORDS = "write / # ? @ : in a user or a password as %2F %23 %3F %40 %3A"


def fault_of(url: str, *, schemes: Sequence[str], needs_host: bool = True) -> str | None:
    """Return what is wrong with a URL, as a clause; None: nothing.

    Args:
        url: Any text.
        schemes: With which it may begin, such as ``https://``.
        needs_host: False where the host has a default.

    >>> web = ("http://", "https://")
    >>> fault_of("ftp://key@x", schemes=web)
    'it must begin with http:// or https://'
    >>> fault_of("http://key@x:port/v1", schemes=web)
    'its port is not a number from 0 to 65535; write / # ? @ : in a user or a password as %2F %23 %3F %40 %3A'
    >>> fault_of("https://[::1]:8443/v1", schemes=web)
    """
    if not url.startswith(tuple(schemes)):
        return f"it must begin with {' or '.join(schemes)}"
    if needs_host and not NO_SPACES.fullmatch(url):
        return "it has a space or a sign that no URL has"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")  # as the resolver does
    except ValueError:
        return "its host is not a name or an address; write an IPv6 address in brackets, as in http://[::1]:8000"
    try:
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return f"its port is not a number from 0 to 65535; {IN_PASSWORDS}"
    return None if host or not needs_host else "it names no host"
