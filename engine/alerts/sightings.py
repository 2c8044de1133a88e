"""What each process finds in itself, written down for the one that looks for all."""

from __future__ import annotations

from tempogram.engine.alerts.process_rules import ProcessRules
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.alert_store import AlertStore
from tempogram.engine.resilience.retry import every


class Sightings:
    """Writes it again and again, as long as something is wrong."""

    def __init__(self, store: AlertStore, own: ProcessRules, *, process: str, check_s: float, clock: Clock) -> None:
        self._store = store
        self._own = own
        self._process = process
        self._check_s = check_s
        self._clock = clock
        self._are_written = False

    async def run(self) -> None:
        await every(self._check_s, self.write, failed="alert_check_failed", expected=LedgerError)

    async def write(self) -> None:
        """Write down what is found, and once that nothing is any more."""
        found = self._own.find()
        if found or self._are_written:
            self._are_written = True  # also if the answer is lost
            await self._store.sight(self._process, found, self._clock())
            self._are_written = bool(found)
