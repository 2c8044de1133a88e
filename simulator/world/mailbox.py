"""The updates that wait for one bot, and the one poller that may ask for them."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

REPLACED_BY_POLL = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
REPLACED_BY_WEBHOOK = "Conflict: terminated by setWebhook request"


@dataclass(frozen=True, slots=True)
class Pending:
    """One update that the bot has not taken, as JSON."""

    update_id: int
    chat_id: int
    body: msgspec.Raw
    since_ns: int


@dataclass(slots=True)
class Poller:
    """A ``getUpdates`` that waits; woken by an update, by a newer poller, or by the end of the server."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    replaced: str = ""  # in Telegram's words


@dataclass(slots=True)
class Mailbox:
    """Updates in the order of their ids; the oldest are dropped when there are more than ``kept``."""

    kept: int
    updates: OrderedDict[int, Pending] = field(default_factory=OrderedDict)
    _poller: Poller | None = None

    def add(self, pending: Pending) -> None:
        """Keep an update and wake the poll that waits for one."""
        self.updates[pending.update_id] = pending
        if len(self.updates) > self.kept:
            self.updates.popitem(last=False)
        self.wake()

    def take(self, update_id: int) -> None:
        """Forget an update that the bot has taken."""
        self.updates.pop(update_id, None)

    def confirm(self, offset: int) -> None:
        """Forget all updates below ``offset``; a negative one keeps only so many of the last.

        Source: https://core.telegram.org/bots/api#getupdates
        """
        if offset < 0:
            confirmed = list(self.updates)[:offset]
        else:
            confirmed = []
            for update_id in self.updates:
                if update_id >= offset:
                    break
                confirmed.append(update_id)
        for update_id in confirmed:
            del self.updates[update_id]

    def first(self, limit: int) -> list[msgspec.Raw]:
        """Return the oldest updates without forgetting them."""
        return [pending.body for pending, _ in zip(self.updates.values(), range(limit), strict=False)]

    def open_poll(self) -> Poller:
        """Begin a poll; the one before it, if it still waits, ends with a conflict."""
        self.end_poll(REPLACED_BY_POLL)
        self._poller = Poller()
        return self._poller

    def close_poll(self, poller: Poller) -> None:
        """End a poll unless a newer one has taken its place."""
        if self._poller is poller:
            self._poller = None

    def end_poll(self, reason: str) -> None:
        """Let the waiting poll, if any, end with a conflict."""
        if self._poller is not None:
            self._poller.replaced = reason
            self._poller.woken.set()
            self._poller = None

    def wake(self) -> None:
        """Let the waiting poll, if any, answer with what there is."""
        if self._poller is not None:
            self._poller.woken.set()
