"""One message: its state, why it waits, and its cancellation."""

from __future__ import annotations

from dataclasses import replace

from tempogram.api.core.dependencies import Dependencies
from tempogram.api.core.errors import Conflict, NotFound, NotScheduled
from tempogram.api.core.redaction import short
from tempogram.api.security.bounds import ALL, Bounds
from tempogram.engine.model.messages import OPEN, PARKED_MS, Status
from tempogram.engine.ports import Explanation, WaitsAt
from tempogram.engine.recovery.cancellations import Cancellation
from tempogram.storage.messages import MessageState

NOT_CANCELLABLE = "it cannot be cancelled"


async def cancel(dependencies: Dependencies, message_id: str) -> None:
    """End a waiting message as cancelled, and publish that.

    Raises:
        NotFound: There is no such message.
        Conflict: It is being sent, or has ended.
        NotScheduled: It is not admitted to the queue yet.
    """
    match await dependencies.cancellations.cancel(message_id):
        case Cancellation.NOT_WAITING:
            raise await _why_not(dependencies, message_id, NOT_CANCELLABLE)
        case Cancellation.OTHER_END:
            raise _too_late(await state_of(dependencies, message_id), NOT_CANCELLABLE)
        case Cancellation.DONE:
            pass


async def explain(dependencies: Dependencies, message_id: str) -> Explanation:
    """Return why a message still waits.

    Raises:
        NotFound: There is no such message.
        Conflict: It is being sent, or has ended.
        NotScheduled: It is not admitted to the queue yet.
    """
    explanation = await dependencies.broker.explain(message_id)
    if explanation is None:
        raise await _why_not(dependencies, message_id, "there is nothing to explain")
    explanation = replace(explanation, tag=(await state_of(dependencies, message_id)).tag)
    if explanation.earliest_at_ms != PARKED_MS:
        return explanation
    waits_for = tuple(await dependencies.handles.awaited(message_id))
    return replace(explanation, waits_at=WaitsAt.REFERENCE, earliest_at_ms=None, waits_for=waits_for)


async def check_bounds(dependencies: Dependencies, message_id: str, bounds: Bounds) -> None:
    """Refuse a message of a bot that the caller's token is not for, as if there were none.

    Raises:
        NotFound: It is, or there is no such message.

    Cost: nothing for a token that is for all bots, else one read.
    """
    if bounds != ALL:
        await state_of(dependencies, message_id, bounds)


async def state_of(dependencies: Dependencies, message_id: str, bounds: Bounds = ALL) -> MessageState:
    """Return the state of a message; raises ``NotFound``."""
    state = await dependencies.history.message(message_id)
    if state is None or not bounds.has(state.bot_id):
        raise NotFound(f"there is no message {short(message_id)}")
    return state


async def _why_not(dependencies: Dependencies, message_id: str, consequence: str) -> Conflict | NotScheduled:
    (is_known,) = await dependencies.broker.knows([message_id])
    state = await state_of(dependencies, message_id)
    if is_known or state.status is not Status.QUEUED:
        return _too_late(state, consequence)
    return NotScheduled(f"message {message_id} is accepted and not queued yet; try again in a moment")


def _too_late(state: MessageState, consequence: str) -> Conflict:
    how = "is being sent" if state.status in OPEN else f"has ended as {state.status.value}"
    return Conflict(f"message {state.id} {how}, so {consequence}")
