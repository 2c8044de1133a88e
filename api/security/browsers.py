"""Lets browsers in: by the cookie of a session, or by the name that a proxy gives.

A browser sends both by itself, also for a page of a stranger. So a request that changes something is refused unless the
browser says that our own page made it: by ``Sec-Fetch-Site``, or by ``Origin`` where it is too old for that.
Sources: https://www.w3.org/TR/fetch-metadata/ and https://www.rfc-editor.org/rfc/rfc6454#section-7
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from tempogram.api.core.errors import CrossSite
from tempogram.api.security.known_credentials import KnownCredentials, MayAsk
from tempogram.api.security.principals import Principal
from tempogram.api.security.trusted_proxies import TrustedProxies
from tempogram.storage.identity.secrets import Credential, Kind
from tempogram.storage.identity.sessions import ABSOLUTE_MS

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

SESSION, DEVICE = "tempogram_session", "tempogram_device"
DEVICE_S = 180 * 86_400
"""How long a browser is known as one that has logged in before. untuned: half a year."""

OURS = frozenset({"same-origin", "none"})
"""``none``: a person typed the address, or chose a bookmark."""


class Browsers:
    """Tells which user a browser is logged in as.

    Args:
        proxies: Those that name users; None: none does.
    """

    def __init__(self, known: KnownCredentials, proxies: TrustedProxies | None = None) -> None:
        self._known = known
        self._proxies = proxies

    async def principal_of(self, request: Request, *, may_ask: MayAsk) -> Principal | None:
        """Return which user this is; None: it is not logged in, or not any more.

        Raises:
            CrossSite: Another site made the browser send a request that changes something.
            LedgerError: The database cannot be read.
        """
        principal = await self.session_of(request, may_ask=may_ask)
        if principal is None and self._proxies is not None and (name := self._proxies.user_of(request)):
            principal = await self._known.of_name(name)
        if principal is not None and request.method not in SAFE:
            refuse_cross_site(request.headers, is_sure=True)
        return principal

    async def session_of(self, request: Request, *, may_ask: MayAsk) -> Principal | None:
        """Return whose session a browser has, whatever made it send the request; raises ``LedgerError``."""
        cookie = cookie_of(request, SESSION)
        return None if cookie is None else await self._known.of_cookie(cookie, may_ask=may_ask)


def refuse_cross_site(headers: Headers, *, is_sure: bool) -> None:
    """Refuse what a page of another site made a browser send.

    With ``is_sure`` also where no header says which page it was; no browser of today leaves both out.

    Raises:
        CrossSite: It did.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        is_ours = site in OURS
    elif origin is not None:
        is_ours = urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    else:
        is_ours = not is_sure
    if not is_ours:
        raise CrossSite


def shows_session(request: Request) -> bool:
    """Tell whether a browser has a cookie that may be of a session; what is malformed costs no query."""
    return Credential.read(cookie_of(request, SESSION) or "", Kind.SESSION) is not None


def cookie_of(request: Request, name: str) -> str | None:
    """Return a cookie; over TLS only one that was set over TLS by this host: no other one can put it there."""
    return request.cookies.get(_named(request, name))


def set_session(request: Request, response: Response, text: str) -> None:
    _set(request, response, SESSION, text, ABSOLUTE_MS // 1_000)


def set_device(request: Request, response: Response, text: str) -> None:
    _set(request, response, DEVICE, text, DEVICE_S)


def end_session(request: Request, response: Response) -> None:
    """Have the browser forget its cookie."""
    _set(request, response, SESSION, "", 0)


def _set(request: Request, response: Response, name: str, text: str, max_age_s: int) -> None:
    response.set_cookie(
        _named(request, name),
        text,
        max_age=max_age_s,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",  # a link to a page opens it; what changes something is checked besides
    )


def _named(request: Request, name: str) -> str:
    """Return the name by which a browser refuses the cookie unless this host set it over TLS.

    Source: https://www.rfc-editor.org/rfc/rfc6265bis#section-4.1.3.2
    """
    return f"__Host-{name}" if is_secure(request) else name


def host_of(request: Request) -> str:
    """Return the client's address; "" where there is none, as on a Unix socket."""
    return "" if request.client is None else request.client.host


def is_secure(request: Request) -> bool:
    return request.url.scheme == "https"
