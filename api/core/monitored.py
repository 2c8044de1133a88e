"""What every process lets be seen of it, also one that serves no API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tempogram.api.core.repositories import MessageHistory
from tempogram.api.security.browsers import Browsers
from tempogram.api.security.known_credentials import KnownCredentials
from tempogram.api.security.principals import BearerTokens
from tempogram.api.security.wrong_tokens import WrongTokens
from tempogram.engine.observability.fleet_counts import FleetCounts
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports import Broker, Clock
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.scheduler.board import TaskBoard

if TYPE_CHECKING:
    from tempogram.engine.services.services import Services
    from tempogram.engine.watches.watches import Watches


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """What the health and the metrics are read from.

    Attributes:
        healthy: Tells whether the ledger can be read and the engine's loops are running.
        tokens: The bearer tokens of the settings.
        credentials: Those that were made while it ran; None: there are none.
        browsers: Lets browsers in; None: only programs are let in.
        services: What is called besides Telegram; None: nothing is, here.
        watches: What chats watch; None: no source is declared, so nothing can be watched.
        fleet_counts: None: there is only this process, or each shows what it has counted itself.
        wrong_tokens: Limits how many others an address may send.
    """

    broker: Broker
    history: MessageHistory
    metrics: Metrics
    conditions: Conditions
    clock: Clock
    healthy: Callable[[], Awaitable[bool]]
    tokens: BearerTokens
    wrong_tokens: WrongTokens
    tasks: TaskBoard
    services: Services | None = None
    watches: Watches | None = None
    fleet_counts: FleetCounts | None = None
    credentials: KnownCredentials | None = None
    browsers: Browsers | None = None
