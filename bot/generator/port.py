"""What a text generator promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Utterance:
    """One text of a conversation. ``speaker`` is '' for the bot itself, and where only two talk."""

    text: str
    by_bot: bool = False
    speaker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a text is wanted for.

    Attributes:
        update_id: The update that is answered; the same again is the same question.
        system: How the bot shall speak; '' says nothing about it.
        templates: What it may say where nobody writes anything better, ready to be said. Never empty.
        turns: What was said, oldest first. The last one is to be answered.
    """

    bot_id: int
    update_id: int
    system: str
    templates: tuple[str, ...]
    turns: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A text that is not empty."""

    text: str


@dataclass(frozen=True, slots=True)
class NotWritten:
    """Why there is none, in words that hold no key and no text of anybody's."""

    reason: str


class TextGenerator(Protocol):
    """Writes texts. Whatever goes wrong outside is a value; an exception means that something of ours broke."""

    @property
    def takes_time(self) -> bool:
        """Whether people should see that the bot is typing."""

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        """Write what the bot says next."""
