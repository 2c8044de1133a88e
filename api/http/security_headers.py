"""Headers that have a browser do as little as possible with an answer; a page sets a policy of its own.

Source: https://owasp.org/www-project-secure-headers/
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTHING_LOADED = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
UNLESS_SET = ((b"cache-control", b"no-store"), (b"content-security-policy", NOTHING_LOADED))

OVER_TLS = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeaders:
    """Adds them to every answer; ``cache-control`` and the policy only where the answer has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(event: Message) -> None:
            if event["type"] == "http.response.start":
                headers = list(event.get("headers", ()))
                names = {name for name, _ in headers}
                headers += ALWAYS
                headers += [each for each in UNLESS_SET if each[0] not in names]
                if scope.get("scheme") == "https":
                    headers.append(OVER_TLS)
                event["headers"] = headers
            await send(event)

        await self._app(scope, receive, send_with_headers)
