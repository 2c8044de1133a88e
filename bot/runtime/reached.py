"""Where what listens is reached from this machine."""

from __future__ import annotations

EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - recognised here, not listened on


def reached_at(host: str, port: int) -> str:
    """Return the address; what listens on every address of this machine listens on this one, too.

    >>> reached_at("0.0.0.0", 8000)
    'http://127.0.0.1:8000'
    >>> reached_at("::1", 8000)
    'http://[::1]:8000'
    """
    if host in EVERY_ADDRESS:
        return f"http://127.0.0.1:{port}"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
