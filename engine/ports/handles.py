"""Handles: provisional numbers of messages that wait, and which calls refer to them.

A handle is a negative number, counted down for each bot. A caller that does not wait until its message is sent has
one instead of Telegram's number, and may keep it: it stands for the message for as long as the ledger keeps that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from tempogram.engine.model.errors import TargetLost
from tempogram.engine.model.messages import OPEN, PARKED_MS, ChatId, Outgoing, Priority, Status

TARGETS_MAX = 100
"""Handles in one call. Source: https://core.telegram.org/bots/api#deletemessages"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a handle stands for: a message, or an item of an album.

    Attributes:
        items: How many handles the message has.
        telegram_message_id: None: it is not sent, or of this item of an album no number is known.
        settled_at_ms: When it ended; None: it is open.
        reason: Why it was not sent.
    """

    message_id: str
    items: int
    chat_id: ChatId | None
    method: str
    priority: Priority
    status: Status
    ready_at_ms: int
    settled_at_ms: int | None = None
    telegram_message_id: int | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_parked(self) -> bool:
        return self.is_open and self.ready_at_ms == PARKED_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """An open message that refers to a target by a handle."""

    message_id: str
    target_id: str
    chat_id: ChatId | None
    method: str
    priority: Priority
    ready_at_ms: int

    @property
    def is_parked(self) -> bool:
        return self.ready_at_ms == PARKED_MS


class Handles(Protocol):
    """Which handle stands for which message.

    Every method raises ``LedgerError`` when the database refuses or cannot be reached.
    """

    async def hand_out(self, bot_id: int, message_id: str, items: int) -> list[int]:
        """Return the handles of a message, one for each item; asked again, it returns the same."""

    async def handed_out(self, message_id: str) -> list[int]:
        """Return the handles that a message has already."""

    async def targets(self, bot_id: int, numbers: Collection[int]) -> dict[int, Target]:
        """Return what these handles stand for; one that stands for none is missing. At most ``TARGETS_MAX``."""

    async def refer(self, message_id: str, target_ids: Collection[str], *, after_ids: Collection[str]) -> None:
        """Write which messages a message refers to, and after which others it must go, before it is submitted."""

    async def referrals(self, target_ids: Collection[str]) -> list[Referral]:
        """Return the open messages that refer to these, in the order of their ids."""

    async def releasable(self, *, limit: int) -> list[str]:
        """Return the parked messages, in order, of which everything has ended that they wait for."""

    async def awaited(self, message_id: str) -> Sequence[str]:
        """Return the open messages for which a message waits."""


class References(Protocol):
    """Knows which messages refer to others by handles, and gives each its place behind them."""

    def may_refer(self, message: Outgoing) -> bool:
        """Tell whether a message perhaps refers to another. Costs next to nothing."""

    def in_order(self, bot_id: int) -> AbstractAsyncContextManager[object]:
        """Let one call of a bot at a time find its place, until it is accepted."""

    async def place(self, message: Outgoing) -> Outgoing | TargetLost:
        """Return a message with Telegram's numbers, or as one that goes behind those that it refers to.

        Raises:
            LedgerError: The handles cannot be read.
        """
