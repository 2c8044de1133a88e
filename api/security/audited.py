"""Writes down each request that changed something: who, from where, what."""

from __future__ import annotations

import structlog
from fastapi import Request, Response

from tempogram.api.core import audit
from tempogram.api.core.audit import Noted
from tempogram.engine.model.errors import EngineError
from tempogram.storage.audit import Change

log = structlog.get_logger()

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

UNAUDITED = frozenset(
    {
        "POST /messages",  # what is sent is in the history of messages
        "POST /messages/batch",
        "POST /selections/preview",  # these read
        "POST /selections/chats",
        "POST /broadcasts/{broadcast_id}/preview",
    }
)


def is_audited(action: str) -> bool:
    return action.partition(" ")[0] not in SAFE and action not in UNAUDITED


async def write_down(request: Request, action: str, noted: Noted, response: Response) -> None:
    """Write down what a request did, unless it was refused.

    What was done stays done where the database is away; the log says then what is missing.
    """
    if response.status_code >= 400:
        return
    before, after = audit.difference(noted)
    principal = request.state.principal
    change = Change(
        who=principal.name,
        role=principal.role.name.lower(),
        address="" if request.client is None else request.client.host,
        action=action,
        target=audit.target_of(request.path_params),
        before=before,
        after=after,
    )
    try:
        await request.app.state.dependencies.audit.add(change)
    except EngineError as error:
        log.error("change_not_audited", who=change.who, action=action, target=change.target, reason=str(error))  # noqa: TRY400
