"""What was said so far, to a generator, and its text back into the books."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiogram.types import Message

from tempogram.bot.generator.port import Conversation, NotWritten, TextGenerator, Utterance, Written
from tempogram.engine.ports import Clock
from tempogram.storage.texts import ChatText, Texts

TURNS_MAX = 20
CHARACTERS_MAX = 8_000
"""Of a conversation, the last ones. Guesses: enough to know what it is about, little enough to be cheap."""


class ConversationWriter:
    """Writes answers.

    Args:
        texts: Where what was said is kept; None: nowhere, and each text is answered by itself.
        keep_ms: How long ago something may have been said to be part of a conversation.
    """

    def __init__(self, generator: TextGenerator, *, texts: Texts | None, keep_ms: int, clock: Clock) -> None:
        self._generator = generator
        self._texts = texts
        self._keep_ms = keep_ms
        self._clock = clock

    @property
    def takes_time(self) -> bool:
        return self._generator.takes_time

    async def hear(self, message: Message, *, bot_id: int, update_id: int, at_ms: int) -> None:
        """Keep what somebody said, so that a later answer may refer to it."""
        text = text_of(message)
        if self._texts is not None and text:
            await self._texts.note(
                ChatText(
                    bot_id=bot_id,
                    update_id=update_id,
                    by_bot=False,
                    chat_id=message.chat.id,
                    speaker=speaker_of(message),
                    text=text,
                    said_at_ms=at_ms,
                )
            )

    async def answer(
        self, message: Message, *, bot_id: int, update_id: int, system: str, templates: tuple[str, ...]
    ) -> str | None:
        """Write the answer to a message that was heard; None if nobody knows one.

        The same update is answered the same a second time, as long as its first answer is kept.
        """
        known = None if self._texts is None else await self._texts.answer_to(bot_id, update_id)
        if known is not None:
            return known
        turns = await self._turns(message, bot_id, update_id)
        conversation = Conversation(bot_id=bot_id, update_id=update_id, system=system, templates=templates, turns=turns)
        match await self._generator.generate(conversation):
            case Written(text):
                await self._say(message, bot_id, update_id, text)
                return text
            case NotWritten():
                return None

    async def _turns(self, message: Message, bot_id: int, update_id: int) -> tuple[Utterance, ...]:
        since_ms = self._clock() - self._keep_ms
        lately = (
            []
            if self._texts is None
            else await self._texts.recent(bot_id, message.chat.id, since_ms=since_ms, limit=TURNS_MAX)
        )
        earlier = [turn_of(each) for each in lately if each.by_bot or each.update_id != update_id]
        asked = Utterance(text_of(message), speaker=speaker_of(message))
        return bounded([*earlier, *_quoted(message, bot_id, earlier), asked])

    async def _say(self, message: Message, bot_id: int, update_id: int, text: str) -> None:
        if self._texts is not None:
            await self._texts.note(
                ChatText(
                    bot_id=bot_id,
                    update_id=update_id,
                    by_bot=True,
                    chat_id=message.chat.id,
                    speaker="",
                    text=without_nul(text),
                    said_at_ms=self._clock(),
                )
            )


def text_of(message: Message) -> str:
    return without_nul(message.text or message.caption or "")


def without_nul(text: str) -> str:
    """Return a text that every database takes; Telegram sends no NUL, and a hand-written update may."""
    return text.replace("\0", "")


def speaker_of(message: Message) -> str:
    """Return the name by which others in a group know who wrote; '' in a private chat, where it is clear."""
    if message.chat.type == "private":
        return ""
    if message.sender_chat is not None:
        return without_nul(message.sender_chat.title or "")
    return without_nul(message.from_user.first_name) if message.from_user else ""


def turn_of(spoken: ChatText) -> Utterance:
    return Utterance(spoken.text, by_bot=spoken.by_bot, speaker=spoken.speaker)


def bounded(
    turns: Iterable[Utterance], *, turns_max: int = TURNS_MAX, characters_max: int = CHARACTERS_MAX
) -> tuple[Utterance, ...]:
    """Return the last turns that fit; the very last one always, if need be only its end.

    >>> [turn.text for turn in bounded([Utterance("one"), Utterance("two"), Utterance("three")], characters_max=8)]
    ['two', 'three']
    >>> [turn.text for turn in bounded([Utterance("one"), Utterance("three")], characters_max=3)]
    ['ree']
    """
    kept: list[Utterance] = []
    left = characters_max
    for turn in reversed(list(turns)):
        if kept and (len(turn.text) > left or len(kept) == turns_max):
            break
        kept.append(Utterance(turn.text[-characters_max:], turn.by_bot, turn.speaker))
        left -= len(turn.text)
    return tuple(reversed(kept))


def _quoted(message: Message, bot_id: int, earlier: list[Utterance]) -> list[Utterance]:
    """Return the message of the bot's that is replied to, unless it stands in the conversation already."""
    replied: Any = message.reply_to_message
    if replied is None or replied.from_user is None or replied.from_user.id != bot_id:
        return []
    text = text_of(replied)
    return [Utterance(text, by_bot=True)] if text and text not in {turn.text for turn in earlier if turn.by_bot} else []
