"""Where Telegram delivers updates. The hot path: no models, no dependencies, the raw bytes handed on.

Source: https://core.telegram.org/bots/api#setwebhook
"""

from __future__ import annotations

from fastapi import Request, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from tempogram.api.core.dependencies import Services
from tempogram.api.core.errors import NOTHING_HERE, NotFound, WrongSecret
from tempogram.api.core.ports import Fleet
from tempogram.api.security.auth import is_same

PATH = "/webhook/telegram/{bot_token}"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name

TAKEN = b'{"ok":true}'


def webhook(services: Services) -> Route:
    """Return the route. Starlette's own, because FastAPI's costs more than the rest of the work here."""

    async def receive(request: Request) -> Response:
        bot_id = addressee(services.fleet, request.path_params["bot_token"], request.headers.get(SECRET_HEADER))
        await services.intake.receive(bot_id, await request.body())
        return Response(TAKEN, media_type="application/json")

    return NamedRoute(PATH, receive, methods=["POST"])


class NamedRoute(Route):
    """Leaves its template in the scope, as FastAPI's routes do; ``access_log`` reads it there."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self} if match is not Match.NONE else child_scope


def addressee(fleet: Fleet, token: str, secret: str | None) -> int:
    """Return whose update this is. Asked before the body is read.

    Raises:
        NotFound: No bot here has this token.
        WrongSecret: Whoever calls knows the token, and not the secret that Telegram was given.
    """
    bot_id = fleet.authenticate(token)
    if bot_id is None:
        raise NotFound(NOTHING_HERE)
    accepted = [is_same(secret or "", each) for each in fleet.webhook_secrets(bot_id)]  # all, in constant time
    if accepted and not any(accepted):
        raise WrongSecret(f"the header {SECRET_HEADER} does not bear this bot's secret")
    return bot_id
