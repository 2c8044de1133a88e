"""What a proxy fails with: in none of its texts is a password."""

from __future__ import annotations

from tempogram.bot.proxy.address import WANTS_USER, Proxy


class ProxyFailed(OSError):
    """The proxy is away, or refuses: nothing has reached Telegram. The text names it, and holds no password."""

    def __str__(self) -> str:
        return str(self.args[0])


def refusal(proxy: Proxy, status: int) -> ProxyFailed:
    wants = "; it wants a user and a password, or others" if status == WANTS_USER else ""
    return ProxyFailed(f"the proxy {proxy} refused with HTTP {status}{wants}")


def away(proxy: Proxy, error: BaseException) -> ProxyFailed:
    while error.__cause__ is not None:
        error = error.__cause__
    return ProxyFailed(f"the proxy {proxy} cannot be reached ({type(error).__name__})")


def why_unanswered(error: BaseException) -> str:
    """Return why a call got no answer: of most errors the name, as their text may hold the address with the token."""
    for each in (error, error.__cause__):
        if isinstance(each, ProxyFailed):
            return str(each)
    return type(error).__name__
