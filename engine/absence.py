"""A broker that is away is expected: who asks it again and again says so once, and once when it is back."""

from __future__ import annotations

import structlog

from engine.errors import BrokerUnavailable

log = structlog.get_logger()


class Absence:
    """Whether the broker is away, as far as one part of the engine has seen."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._is_away = False

    def begin(self, error: BrokerUnavailable) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("broker is away", worker_id=self._worker_id, error=str(error))

    def end(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("broker is back", worker_id=self._worker_id)
