"""What a call may raise besides its own errors.

ServiceError
├── UnknownService      no such service, or no such operation of it
├── CallsFull           too many calls wait already
├── CallOverdue         its deadline came first; also a TimeoutError
├── CircuitOpen         the service fails, and is not called for a while
└── PlaceLost           the limits are out of reach, and its place is about to be given to another
"""

from __future__ import annotations

from tempogram.engine.model.errors import EngineError


class ServiceError(EngineError):
    """The base of all of them: the call was not made, or was given up."""


class UnknownService(ServiceError):
    """There is no such service, or operation. Nothing was called."""


class CallsFull(ServiceError):
    """Too many calls of the service wait already. Nothing was called."""


class CallOverdue(ServiceError, TimeoutError):
    """The deadline came before an answer that could be returned."""


class CircuitOpen(ServiceError):
    """The service fails, and is not called before ``until_ms``. Nothing was called."""

    def __init__(self, sentence: str, until_ms: int) -> None:
        super().__init__(sentence)
        self.until_ms = until_ms


class PlaceLost(ServiceError):
    """The limits cannot be reached for so long that the call's place may be another's by now; it was cancelled."""
