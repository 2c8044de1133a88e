"""Writes down each request that changed something: who, from where, what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import structlog
from fastapi import Request, Response

from tempogram.api.core import audit
from tempogram.api.core.audit import Noted
from tempogram.api.core.repositories import Audit
from tempogram.api.security.browsers import SAFE, host_of
from tempogram.api.security.principals import Principal
from tempogram.engine.model.errors import EngineError
from tempogram.storage.audit import Change

log = structlog.get_logger()

UNAUDITED = frozenset(
    {
        "POST /messages",  # what is sent is in the history of messages
        "POST /messages/batch",
        "POST /selections/preview",  # these read
        "POST /selections/chats",
        "POST /broadcasts/{broadcast_id}/preview",
    }
)


READS_AUDITED = frozenset({"GET /bots/{bot_id}/chats/{chat_id}/export"})
"""What changes nothing, but hands over all that is kept of a person."""


class Audited(Protocol):
    """What has an audit log: see ``Dependencies``."""

    @property
    def audit(self) -> Audit: ...


def is_audited(action: str) -> bool:
    return action in READS_AUDITED or (action.partition(" ")[0] not in SAFE and action not in UNAUDITED)


async def write_down(request: Request, action: str, noted: Noted, response: Response) -> None:
    """Write down what a request did, unless it was refused.

    What was done stays done where the database is away; the log says then what is missing.
    """
    if response.status_code >= 400:
        return
    before, after = audit.difference(noted)
    change = _change(request.state.principal, host_of(request), action, audit.target_of(request.path_params))
    await _add(request.app.state.dependencies.audit, replace(change, before=before, after=after))


async def write_down_of(
    dependencies: Audited, principal: Principal, *, address: str, action: str, target: str, **after: Any
) -> None:
    """Write down what a request did that had no credential yet: a log-in."""
    await _add(dependencies.audit, replace(_change(principal, address, action, target), after=after))


def _change(principal: Principal, address: str, action: str, target: str) -> Change:
    return Change(who=principal.name, role=principal.role.name.lower(), address=address, action=action, target=target)


async def _add(changes: Audit, change: Change) -> None:
    try:
        await changes.add(change)
    except EngineError as error:
        log.error(  # noqa: TRY400
            "change_not_audited", who=change.who, action=change.action, target=change.target, reason=str(error)
        )
