"""Messages: submit them, look at one, take one back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tempogram.api.core.dependencies import ServicesOf
from tempogram.api.core.errors import Conflict, Invalid, Malformed, NotFound, NotScheduled, TooLarge, declares
from tempogram.api.core.ports import Refusal
from tempogram.api.http.forms import FORM_SCHEMA, FilesOf, FormRoute
from tempogram.api.schemas.fields import MessageId
from tempogram.api.schemas.messages import BatchIn, ExplanationOut, MessageIn, MessageOut, RefusedOut, TakenOut
from tempogram.api.security.auth import GuardedRoute, Role, requires
from tempogram.api.usecases.queued_message import cancel, explain, state_of
from tempogram.api.usecases.submissions import Submissions, Taken
from tempogram.engine.model.errors import BrokerUnavailable, ChatUnreachable, LedgerError, QueueFull
from tempogram.engine.model.messages import Status
from tempogram.storage.files.spool import FileTooLarge
from tempogram.storage.messages import MessageState

PATH = "/messages"
BATCH_PATH = "/messages/batch"
WAIT_S_MAX = 30.0
"""Shorter than the patience of the usual proxy, which is 60 s."""

ENDED_IN_TIME: dict[int | str, dict[str, Any]] = {
    200: {"model": MessageOut, "description": "It ended within the time of ``wait``."}
}

router = APIRouter(tags=["messages"], route_class=GuardedRoute)
forms = APIRouter(tags=["messages"], route_class=FormRoute)
"""What takes files too."""


async def submissions_of(request: Request) -> Submissions:
    submissions: Submissions = request.app.state.submissions
    return submissions


SubmissionsOf = Annotated[Submissions, Depends(submissions_of)]
WaitS = Annotated[float, Query(ge=0, le=WAIT_S_MAX, description="Wait so many seconds for its end.")]


@forms.post(
    PATH,
    status_code=202,
    response_model=TakenOut,
    dependencies=[requires(Role.OPERATOR)],
    responses=ENDED_IN_TIME
    | declares(Malformed, Refusal, ChatUnreachable, TooLarge, FileTooLarge, Invalid, QueueFull, LedgerError),
    openapi_extra={"requestBody": {"content": {"multipart/form-data": {"schema": FORM_SCHEMA}}}},
)
async def submit(wanted: MessageIn, files: FilesOf, submissions: SubmissionsOf, wait: WaitS = 0) -> Response:
    """Submit a message, as JSON or, with files, as a form. 202: it is accepted, and will end as exactly one
    of the final statuses.

    In a form `params` may stay away: each further field is a parameter of the method, and each file is the
    parameter of its name, or what `attach://<name>` means in another one.
    """  # noqa: D205 - the description shows it as one paragraph
    return _submitted(await submissions.take(wanted, files, wait_s=wait))


@router.post(
    BATCH_PATH,
    status_code=202,
    response_model=list[TakenOut | RefusedOut],
    dependencies=[requires(Role.OPERATOR)],
    responses=declares(Malformed, TooLarge, Invalid, LedgerError),
)
async def submit_many(entries: BatchIn, submissions: SubmissionsOf) -> Response:
    """Submit up to 10,000 messages; one answer each, in their order. A wrong one refuses no other."""
    return _submitted_many(await submissions.take_many(entries))


@router.get(
    "/messages/{message_id}",
    dependencies=[requires(Role.VIEWER)],
    responses=declares(NotFound, Invalid, LedgerError),
)
async def show(message_id: MessageId, services: ServicesOf) -> MessageOut:
    """Tell where a message stands, with every attempt."""
    return MessageOut.of(await state_of(services, message_id))


@router.get(
    "/messages/{message_id}/explain",
    dependencies=[requires(Role.VIEWER)],
    responses=declares(NotFound, Conflict, Invalid, NotScheduled, LedgerError, BrokerUnavailable),
)
async def why_it_waits(message_id: MessageId, services: ServicesOf) -> ExplanationOut:
    """Tell at which gate a message waits, how many are before it, and when it goes at the earliest."""
    return ExplanationOut.of(await explain(services, message_id))


@router.delete(
    "/messages/{message_id}",
    dependencies=[requires(Role.OPERATOR)],
    responses=declares(NotFound, Conflict, Invalid, NotScheduled, LedgerError, BrokerUnavailable),
)
async def take_back(message_id: MessageId, services: ServicesOf) -> TakenOut:
    """Cancel a message that waits."""
    await cancel(services, message_id)
    return TakenOut(id=message_id, status=Status.CANCELLED)


def _submitted(answer: Taken | MessageState) -> Response:
    if isinstance(answer, MessageState):
        return Response(MessageOut.of(answer).model_dump_json(), media_type="application/json")
    return Response(msgspec.json.encode(_entry(answer)), status_code=202, media_type="application/json")


def _submitted_many(answers: Sequence[Taken | str]) -> Response:
    """Encode without models: validating 10,000 answers of our own would hold everybody up."""
    entries = [_entry(answer) if isinstance(answer, Taken) else {"error": answer} for answer in answers]
    return Response(msgspec.json.encode(entries), status_code=202, media_type="application/json")


def _entry(taken: Taken) -> dict[str, str]:
    return {"id": taken.message_id, "status": taken.status.value}
