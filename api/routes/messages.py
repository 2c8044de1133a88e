"""Submits, shows, explains and cancels messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tempogram.api.core.dependencies import DependenciesOf
from tempogram.api.core.errors import Conflict, Invalid, Malformed, NotFound, NotScheduled, TooLarge, error_responses
from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import without_tokens
from tempogram.api.http.batch_entries import BatchRoute
from tempogram.api.http.forms import FilesOf, FormRoute, form_body
from tempogram.api.schemas.fields import MessageId, Tag
from tempogram.api.schemas.messages import (
    BatchIn,
    ExplanationOut,
    MessageIn,
    MessageOut,
    RefusedOut,
    StatusOut,
    TagCancelledOut,
)
from tempogram.api.security.auth import GuardedRoute, requires
from tempogram.api.security.bounds import BoundsOf
from tempogram.api.security.principals import Role
from tempogram.api.usecases.queued_message import cancel, check_bounds, explain, state_of
from tempogram.api.usecases.submissions import Submissions, Submitted
from tempogram.api.usecases.tagged_messages import cancel_tagged
from tempogram.engine.model.errors import BrokerUnavailable, ChatUnreachable, LedgerError, QueueFull, TargetLost
from tempogram.engine.model.messages import Status
from tempogram.storage.files.spool import FileTooLarge
from tempogram.storage.messages import MessageState

PATH = "/messages"
BATCH_PATH = "/messages/batch"
WAIT_S_MAX = 30.0
"""Shorter than the usual timeout of a proxy, which is 60 s."""

ENDED_IN_TIME: dict[int | str, dict[str, Any]] = {
    200: {"model": MessageOut, "description": "It ended within the time of ``wait``."}
}

router = APIRouter(tags=["messages"], route_class=GuardedRoute)
batches = APIRouter(tags=["messages"], route_class=BatchRoute)
"""The route that takes many."""
forms = APIRouter(tags=["messages"], route_class=FormRoute)
"""The route that takes files, too."""


async def submissions_of(request: Request) -> Submissions:
    submissions: Submissions = request.app.state.submissions
    return submissions


SubmissionsOf = Annotated[Submissions, Depends(submissions_of)]
WaitS = Annotated[float, Query(ge=0, le=WAIT_S_MAX, description="Wait this many seconds for its end.")]


@forms.post(
    PATH,
    status_code=202,
    response_model=StatusOut,
    dependencies=[requires(Role.OPERATOR, is_bounded=True)],
    responses=ENDED_IN_TIME
    | error_responses(
        Malformed, Refusal, ChatUnreachable, TargetLost, TooLarge, FileTooLarge, Invalid, QueueFull, LedgerError
    ),
    openapi_extra=form_body(MessageIn, {"chat_id": "5"}),
)
async def submit(
    wanted: MessageIn, files: FilesOf, submissions: SubmissionsOf, bounds: BoundsOf, wait: WaitS = 0
) -> Response:
    """Submit a message, as JSON or, with files, as a form. 202: it is accepted, and will end in exactly one
    final status.

    In a form `params` may be left out: each further field is a parameter of the method, and each file is the
    parameter of its name, or what `attach://<name>` refers to in another one.
    """  # noqa: D205 - the description shows it as one paragraph
    bounds.check(wanted.bot)
    return _submitted(await submissions.submit(wanted, files, wait_s=wait))


@batches.post(
    BATCH_PATH,
    status_code=202,
    response_model=list[StatusOut | RefusedOut],
    dependencies=[requires(Role.OPERATOR, is_bounded=True)],
    responses=error_responses(Malformed, TooLarge, Invalid, LedgerError),
)
async def submit_many(entries: BatchIn, submissions: SubmissionsOf, bounds: BoundsOf) -> Response:
    """Submit up to 10,000 messages; one answer for each, in order. A refused one does not affect the others."""
    return _submitted_many(await submissions.submit_many(entries, bounds))


@router.get(
    "/messages/{message_id}",
    dependencies=[requires(Role.VIEWER, is_bounded=True)],
    responses=error_responses(NotFound, Invalid, LedgerError),
)
async def show(message_id: MessageId, dependencies: DependenciesOf, bounds: BoundsOf) -> MessageOut:
    """Show the state of a message, with every attempt."""
    return MessageOut.of(await state_of(dependencies, message_id, bounds))


@router.get(
    "/messages/{message_id}/explain",
    dependencies=[requires(Role.VIEWER, is_bounded=True)],
    responses=error_responses(NotFound, Conflict, Invalid, NotScheduled, LedgerError, BrokerUnavailable),
)
async def explain_message(message_id: MessageId, dependencies: DependenciesOf, bounds: BoundsOf) -> ExplanationOut:
    """Show which limit keeps a message waiting, how many are before it, and the earliest time at which it is sent."""
    await check_bounds(dependencies, message_id, bounds)
    return ExplanationOut.of(await explain(dependencies, message_id))


@router.delete(
    "/messages/{message_id}",
    dependencies=[requires(Role.OPERATOR, is_bounded=True)],
    responses=error_responses(NotFound, Conflict, Invalid, NotScheduled, LedgerError, BrokerUnavailable),
)
async def cancel_message(message_id: MessageId, dependencies: DependenciesOf, bounds: BoundsOf) -> StatusOut:
    """Cancel a waiting message."""
    await check_bounds(dependencies, message_id, bounds)
    await cancel(dependencies, message_id)
    return StatusOut(id=message_id, status=Status.CANCELLED)


@router.delete(
    PATH,
    dependencies=[requires(Role.OPERATOR)],
    responses=error_responses(Invalid, LedgerError, BrokerUnavailable)
    | {202: {"model": TagCancelledOut, "description": "Some were not looked at yet; the same request goes on."}},
)
async def cancel_with_tag(tag: Tag, dependencies: DependenciesOf, response: Response) -> TagCancelledOut:
    """Cancel what waits with a tag: ``?tag=spring``. What is submitted with it meanwhile may stay.

    A call in flight is finished and counted in ``left``; if it must be made again, the message waits again. 202: that
    takes longer than 10 s; the same request again goes on.
    """
    cancelled = await cancel_tagged(dependencies, tag)
    response.status_code = 200 if cancelled.is_complete else 202
    return cancelled


def _submitted(answer: Submitted | MessageState) -> Response:
    if isinstance(answer, MessageState):
        return Response(MessageOut.of(answer).model_dump_json(), media_type="application/json")
    return Response(msgspec.json.encode(_entry(answer)), status_code=202, media_type="application/json")


def _submitted_many(answers: Sequence[Submitted | str]) -> Response:
    """Encode without models: validating 10,000 answers of our own would delay other requests."""
    entries = [_entry(answer) if isinstance(answer, Submitted) else _refused(answer) for answer in answers]
    return Response(msgspec.json.encode(entries), status_code=202, media_type="application/json")


def _refused(reason: str) -> dict[str, str]:
    return {"error": without_tokens(reason)}  # it quotes what was sent


def _entry(submitted: Submitted) -> dict[str, str]:
    return {"id": submitted.id, "status": submitted.status.value}
