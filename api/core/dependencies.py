"""What the endpoints use: ``bot/`` puts it together, and tests put in fakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from tempogram.api.core.monitored import Monitored
from tempogram.api.core.ports import (
    Attachments,
    BotPlaces,
    BroadcastMedia,
    CallEndings,
    Composer,
    DoorCalls,
    DoorTokens,
    DryRuns,
    Fleet,
    Intake,
    PassThrough,
    PlaceWait,
    Removals,
)
from tempogram.api.core.repositories import Audit, Bots, ChatExport, Chats, Keys, StoredLimits
from tempogram.api.security.identity import Identity
from tempogram.engine.alerts.memory_store import MemoryAlertStore
from tempogram.engine.alerts.trial import Trial
from tempogram.engine.broadcasts.billing import Billing
from tempogram.engine.broadcasts.board import Broadcasts
from tempogram.engine.closing.closer import Closer
from tempogram.engine.closing.eraser import ChatEraser
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.ports import Handles, Ledger, Results, SystemClock
from tempogram.engine.ports.alert_store import AlertStore
from tempogram.engine.ports.audience import Audience
from tempogram.engine.recovery.cancellations import Cancellations
from tempogram.engine.services.changed import ChangedServices
from tempogram.engine.services.services import Services
from tempogram.storage.files.spool import Spool

BODY_BYTES_MAX = 1 << 20
"""An update has a few KB, a message at most 4,096 characters and a keyboard."""

BATCH_BYTES_MAX = 10 << 20
"""10,000 messages of 1 KB."""

FILES_MAX = 10
"""In one form. Source: https://core.telegram.org/bots/api#sendmediagroup"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the Bot API door needs besides.

    Attributes:
        gets_updates: Tells whether a bot's updates come to us.
        place_wait: Begins a wait of so many seconds.
        waiting: Places of calls that wait for the queue.
        wait_s: How long a call waits for its places, if it does not say so.
    """

    tokens: DoorTokens
    calls: DoorCalls
    endings: CallEndings
    telegram: PassThrough
    gets_updates: Callable[[int], bool]
    place_wait: Callable[[float], PlaceWait]
    waiting: BotPlaces
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies(Monitored):
    """Everything that an endpoint may ask for.

    Attributes:
        services: What is called besides Telegram.
        dry_runs: Whom bots would re-engage.
        door: None: the Bot API is not served here.
        identity: Users, and the tokens that are made while it runs.
        alert_trial: Sends a notice to try each channel of alerts.
    """

    intake: Intake
    composer: Composer
    attachments: Attachments
    spool: Spool
    fleet: Fleet
    dispatcher: Dispatcher
    eraser: ChatEraser
    export: ChatExport
    cancellations: Cancellations
    closer: Closer
    ledger: Ledger
    results: Results
    handles: Handles
    audience: Audience
    audit: Audit
    keys: Keys
    bots: Bots
    chats: Chats
    limits: StoredLimits
    removals: Removals
    services: Services
    changed_services: ChangedServices
    dry_runs: DryRuns
    broadcasts: Broadcasts
    broadcast_media: BroadcastMedia
    billing: Billing
    identity: Identity
    door: Door | None = None
    alerts: AlertStore = field(default_factory=MemoryAlertStore)
    alert_trial: Trial = field(default_factory=lambda: Trial({}, clock=SystemClock()))
    body_bytes_max: int = BODY_BYTES_MAX
    batch_bytes_max: int = BATCH_BYTES_MAX

    @property
    def form_bytes_max(self) -> int:
        """The largest form with files: an album."""
        return self.body_bytes_max + FILES_MAX * self.spool.bytes_max


async def dependencies_of(request: Request) -> Dependencies:
    """Return the dependencies of the app. A coroutine, because FastAPI would run a function in a thread."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


DependenciesOf = Annotated[Dependencies, Depends(dependencies_of)]
