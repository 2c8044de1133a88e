"""A message that waits: why it does, and how it is taken back before it is sent."""

from __future__ import annotations

from tempogram.api.core.dependencies import Services
from tempogram.api.core.errors import Conflict, NotFound, NotScheduled
from tempogram.api.core.redaction import short
from tempogram.engine.model.messages import OPEN, Status
from tempogram.engine.ports import Explanation
from tempogram.storage.messages import MessageState

CANCELLED_NO_MORE = "it cannot be cancelled"


async def cancel(services: Services, message_id: str) -> None:
    """End a waiting message as cancelled, and tell whoever waits for it.

    Raises:
        NotFound: There is no such message.
        Conflict: It is being sent, or has ended.
        NotScheduled: The broker has not heard of it yet.
    """
    if not await services.cancellations.cancel(message_id):
        raise await _why_not(services, message_id, CANCELLED_NO_MORE)


async def explain(services: Services, message_id: str) -> Explanation:
    """Tell why a message still waits.

    Raises:
        NotFound: There is no such message.
        Conflict: It is being sent, or has ended.
        NotScheduled: The broker has not heard of it yet.
    """
    told = await services.broker.explain(message_id)
    if told is None:
        raise await _why_not(services, message_id, "there is nothing to explain")
    return told


async def state_of(services: Services, message_id: str) -> MessageState:
    """Return where a message stands; raises ``NotFound``."""
    state = await services.history.message(message_id)
    if state is None:
        raise NotFound(f"there is no message {short(message_id)}")
    return state


async def _why_not(services: Services, message_id: str, so: str) -> Conflict | NotScheduled:
    (is_known,) = await services.broker.knows([message_id])
    state = await state_of(services, message_id)
    if is_known or state.status is not Status.QUEUED:
        return _too_late(state, so)
    return NotScheduled(f"message {message_id} is accepted and not scheduled yet; try again in a moment")


def _too_late(state: MessageState, so: str) -> Conflict:
    how = "is being sent" if state.status in OPEN else f"has ended as {state.status.value}"
    return Conflict(f"message {state.id} {how}, so {so}")
