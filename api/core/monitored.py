"""What every process lets be seen of it, also one that serves no API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tempogram.api.core.repositories import MessageHistory
from tempogram.engine.model.errors import SettingsError
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports import Broker, Clock
from tempogram.engine.resilience.conditions import Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """What the health and the metrics are read from.

    Attributes:
        healthy: Tells whether the ledger can be read and the engine's loops are running.
        admin_token: The bearer token of the role admin.
    """

    broker: Broker
    history: MessageHistory
    metrics: Metrics
    conditions: Conditions
    clock: Clock
    healthy: Callable[[], Awaitable[bool]]
    admin_token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.admin_token:
            raise SettingsError("the admin token is empty, so that anyone could use the API; set ADMIN_TOKEN")
