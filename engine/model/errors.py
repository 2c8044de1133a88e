"""Everything the engine raises.

    EngineError
    ├── SettingsError          a value in the settings makes no sense
    ├── BrokerError
    │   └── BrokerUnavailable  it cannot be reached; try again later
    │       ├── ScheduleLost   it is there and has no schedule that can be trusted; rebuild it from the ledger
    │       ├── BrokerFull     it is there and takes nothing more in
    │       └── NobodyToAsk    just now this process may ask none
    ├── LedgerError            the ledger could not be read or written
    ├── QueueFull              a chat or a bot has too much waiting; nothing was accepted
    ├── ChatUnreachable        the chat takes nothing until it writes again; nothing was accepted
    └── StillQueued            accepted, not sent within the time its caller would wait

What Telegram answers is not an error: see ``outcomes``.
"""

from __future__ import annotations

from tempogram.engine.model.messages import ChatId


class EngineError(Exception):
    """The base of all of them."""


class SettingsError(EngineError):
    """A value makes no sense; its sentence names it."""


class BrokerError(EngineError):
    """The queue refused."""


class BrokerUnavailable(BrokerError):
    """The queue cannot be reached. Nothing was done."""


class QueueLost(BrokerUnavailable):
    """The queue can be reached, and its schedule is gone or may be older than the ledger. Nothing was done."""


class BrokerFull(BrokerUnavailable):
    """The queue can be reached, and has no memory left. Nothing was done."""


class NoQueue(BrokerUnavailable):
    """Just now this process may ask no schedule: another process has it, or nobody. Nothing was done."""


class LedgerError(EngineError):
    """The ledger could not be read or written.

    What was to be written is not there, or, if the connection broke before the answer to the commit came, is there
    whole. So whoever writes again must write something that may be written twice.
    """


class QueueFull(EngineError):
    """Too much is waiting already. The message was not accepted."""

    def __init__(self, bot_id: int, chat_id: ChatId | None, cap: int) -> None:
        whose = f"bot {bot_id}" if chat_id is None else f"chat {chat_id} of bot {bot_id}"
        super().__init__(f"{whose} has {cap} messages waiting, which is its cap; submit it again later")
        self.bot_id, self.chat_id, self.cap = bot_id, chat_id, cap


class ChatUnreachable(EngineError):
    """Telegram has said that a chat takes nothing from a bot, and nobody has written there since."""

    def __init__(self, bot_id: int, chat_id: ChatId, reason: str) -> None:
        super().__init__(f"chat {chat_id} takes nothing from bot {bot_id} until somebody writes there: {reason}")
        self.bot_id, self.chat_id, self.reason = bot_id, chat_id, reason


class StillQueued(EngineError):
    """The message is accepted and waits its turn; its answer is not there yet."""

    def __init__(self, message_id: str) -> None:
        super().__init__(f"message {message_id} is accepted and still waits its turn")
        self.message_id = message_id
