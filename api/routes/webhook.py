"""Where Telegram delivers updates. The hot path: no models, no dependencies, only raw bytes.

Source: https://core.telegram.org/bots/api#setwebhook
"""

from __future__ import annotations

from fastapi import Request, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import NOTHING_HERE, NotFound, WrongSecret
from tempogram.api.core.ports import Fleet
from tempogram.api.security.requests import equal_in_constant_time

PATH = "/webhook/telegram/{bot_token}"
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name

OK_BODY = b'{"ok":true}'


def webhook(dependencies: Dependencies) -> Route:
    """Return the route: Starlette's, because FastAPI's costs more than the rest of the work here."""

    async def receive(request: Request) -> Response:
        bot_id = await authenticated_bot(
            dependencies.fleet, request.path_params["bot_token"], request.headers.get(SECRET_HEADER)
        )
        await dependencies.intake.receive(bot_id, await request.body())
        return Response(OK_BODY, media_type="application/json")

    return NamedRoute(PATH, receive, methods=["POST"])


class NamedRoute(Route):
    """Puts itself into the scope, as FastAPI's routes do; ``access_log`` reads its template there."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self} if match is not Match.NONE else child_scope


async def authenticated_bot(fleet: Fleet, token: str, secret: str | None) -> int:
    """Return the id of the bot that an update is for, before the body is read.

    Another process may have changed the secret just now: before an update is refused, the secrets are read again.

    Raises:
        NotFound: No bot has this token.
        WrongSecret: The caller has the token, but not the secret that Telegram was given.
        LedgerError: It cannot be read whether there is another secret by now.
    """
    bot_id = _known_bot(fleet, token)
    if _is_accepted(fleet, bot_id, secret):
        return bot_id
    await fleet.reread_secrets(bot_id)
    bot_id = _known_bot(fleet, token)  # it may have been removed
    if not _is_accepted(fleet, bot_id, secret):
        raise WrongSecret(f"the header {SECRET_HEADER} does not have this bot's secret")
    return bot_id


def _known_bot(fleet: Fleet, token: str) -> int:
    bot_id = fleet.authenticate(token)
    if bot_id is None:
        raise NotFound(NOTHING_HERE)
    return bot_id


def _is_accepted(fleet: Fleet, bot_id: int, secret: str | None) -> bool:
    accepted = [equal_in_constant_time(secret or "", each) for each in fleet.webhook_secrets(bot_id)]
    return not accepted or any(accepted)  # all were compared, each in constant time
