"""Everything the engine raises.

    EngineError
    ├── SettingsError          a value in the settings makes no sense
    ├── BrokerError
    │   └── BrokerUnavailable  the queue cannot be reached; try again later
    │       ├── QueueLost      it can be reached, but must be rebuilt from the ledger first
    │       ├── BrokerFull     it can be reached, but takes nothing more in
    │       ├── QueueOfAnother it belongs to another ledger; never share it
    │       ├── BrokerRefused  it refuses this process as it is set up
    │       └── NoQueue        there is none that this process may ask just now
    ├── LedgerError            the ledger could not be read or written
    │   ├── UnstorableValue    it can be, but it takes no such value; trying again is useless
    │   └── LedgerAway         the database cannot be reached just now; try again later
    ├── QueueFull              a chat or a bot has too much waiting; nothing was accepted
    ├── ChatUnreachable        the chat takes nothing until it writes again; nothing was accepted
    └── TargetLost             what it refers to is not there, or was not sent; nothing was accepted

What Telegram answers is not an error: see ``outcomes``.
"""

from __future__ import annotations

from tempogram.engine.model.messages import ChatId


class EngineError(Exception):
    """The base of all of them."""

    @property
    def loggable(self) -> str:
        """Its sentence without what a client or a user wrote, which stands in no log."""
        return str(self)


class SettingsError(EngineError):
    """A value makes no sense; its sentence names it."""


class BrokerError(EngineError):
    """The queue refused."""


class BrokerUnavailable(BrokerError):
    """The queue cannot be reached. Nothing was done."""


class QueueLost(BrokerUnavailable):
    """The queue can be reached, but it is empty or older than the ledger: rebuild it first. Nothing was done."""


class QueueOfAnother(BrokerUnavailable):
    """Redis holds the queue of another ledger, or has been claimed for one. Nothing was done."""


class BrokerRefused(BrokerUnavailable):
    """Redis refuses this process as one of the two is set up: a password, rights, a version. Nothing was done."""


class BrokerFull(BrokerUnavailable):
    """The queue can be reached, but has no memory left. Nothing was done."""


class NoQueue(BrokerUnavailable):
    """There is no queue that this process may ask: another process leads, or none does yet. Nothing was done."""


class LedgerError(EngineError):
    """The ledger could not be read or written.

    What was to be written is not there, or, if the connection broke before the answer to the commit came, is there
    whole. So only what may be written twice can be written again.
    """


class UnstorableValue(LedgerError):
    """A value that the ledger does not take: a number beyond its range, say. Nothing was written, or looked for.

    The same work is refused again, however often it is tried; so it is no outage.
    """


class LedgerAway(LedgerError):
    """The database cannot be reached, or takes no connections just now; nothing need be changed for it to be back."""


class QueueFull(EngineError):
    """Too much is waiting already. The message was not accepted."""

    def __init__(self, bot_id: int, chat_id: ChatId | None, cap: int) -> None:
        whose = f"bot {bot_id}" if chat_id is None else f"chat {chat_id} of bot {bot_id}"
        super().__init__(f"{whose} has {cap} messages waiting, which is its cap; submit it again later")
        self.bot_id, self.chat_id, self.cap = bot_id, chat_id, cap


class ChatUnreachable(EngineError):
    """Telegram has refused a bot's messages to a chat, and no user has written there since."""

    def __init__(self, bot_id: int, chat_id: ChatId, reason: str) -> None:
        super().__init__(f"chat {chat_id} takes nothing from bot {bot_id} until a user writes there: {reason}")
        self.bot_id, self.chat_id, self.reason = bot_id, chat_id, reason


class TargetLost(EngineError):
    """A message refers to one that is not known, or that ended without being sent."""
