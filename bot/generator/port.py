"""The interface of a text generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Utterance:
    """One text of a conversation. ``speaker`` is '' for the bot itself, and in a private chat."""

    text: str
    by_bot: bool = False
    speaker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The conversation that a generator continues.

    Attributes:
        update_id: The update that is answered; the same id again is the same question.
        system: The system prompt; '' for none.
        templates: Ready texts for an answer without a language model. Never empty.
        utterances: What was said, oldest first. The last one is to be answered.
    """

    bot_id: int
    update_id: int
    system: str
    templates: tuple[str, ...]
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A text that is not empty."""

    text: str


@dataclass(frozen=True, slots=True)
class NotWritten:
    """Why there is no text; the reason holds no key and no text of a user."""

    reason: str


class TextGenerator(Protocol):
    """Writes texts. A failure outside is a value; an exception means that something of ours broke."""

    @property
    def takes_time(self) -> bool:
        """Whether the chat should show that the bot is typing."""

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        """Write the bot's next text."""
