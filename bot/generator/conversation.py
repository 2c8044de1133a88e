"""Hands the conversation so far to a generator, and stores what it writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiogram.types import Message

from tempogram.bot.generator.port import Conversation, NotWritten, TextGenerator, Utterance, Written
from tempogram.engine.ports import Clock
from tempogram.storage.texts import ChatText, Texts

UTTERANCES_MAX = 20
CHARACTERS_MAX = 8_000
"""The end of a conversation that a generator gets. Untuned: enough for the topic, and cheap."""


class ConversationWriter:
    """Writes answers.

    Args:
        texts: Where conversations are stored; None: nowhere, and each text is answered by itself.
        keep_ms: How old a text may be to be part of a conversation.
    """

    def __init__(self, generator: TextGenerator, *, texts: Texts | None, keep_ms: int, clock: Clock) -> None:
        self._generator = generator
        self._texts = texts
        self._keep_ms = keep_ms
        self._clock = clock

    @property
    def takes_time(self) -> bool:
        return self._generator.takes_time

    async def remember(self, message: Message, *, bot_id: int, update_id: int, at_ms: int) -> None:
        """Store a user's text, so that a later answer may refer to it."""
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
        """Write the answer to a message; None if the generator wrote none.

        The same update gets the same answer a second time, as long as the first one is stored.
        """
        known = None if self._texts is None else await self._texts.answer_to(bot_id, update_id)
        if known is not None:
            return known
        utterances = await self._utterances(message, bot_id, update_id)
        conversation = Conversation(
            bot_id=bot_id, update_id=update_id, system=system, templates=templates, utterances=utterances
        )
        match await self._generator.generate(conversation):
            case Written(text):
                await self._store(message, bot_id, update_id, text)
                return text
            case NotWritten():
                return None

    async def _utterances(self, message: Message, bot_id: int, update_id: int) -> tuple[Utterance, ...]:
        since_ms = self._clock() - self._keep_ms
        lately = (
            []
            if self._texts is None
            else await self._texts.recent(bot_id, message.chat.id, since_ms=since_ms, limit=UTTERANCES_MAX)
        )
        earlier = [utterance_of(each) for each in lately if each.by_bot or each.update_id != update_id]
        asked = Utterance(text_of(message), speaker=speaker_of(message))
        return bounded([*earlier, *_quoted(message, bot_id, earlier), asked])

    async def _store(self, message: Message, bot_id: int, update_id: int, text: str) -> None:
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
    """Return a text that every database takes; Telegram sends no NUL, but a hand-written update may."""
    return text.replace("\0", "")


def speaker_of(message: Message) -> str:
    """Return the sender's name as shown in a group; '' in a private chat, where it is clear."""
    if message.chat.type == "private":
        return ""
    if message.sender_chat is not None:
        return without_nul(message.sender_chat.title or "")
    return without_nul(message.from_user.first_name) if message.from_user else ""


def utterance_of(text: ChatText) -> Utterance:
    return Utterance(text.text, by_bot=text.by_bot, speaker=text.speaker)


def bounded(
    utterances: Iterable[Utterance], *, utterances_max: int = UTTERANCES_MAX, characters_max: int = CHARACTERS_MAX
) -> tuple[Utterance, ...]:
    """Return the last utterances that fit; the very last one always, if need be only its end.

    >>> [turn.text for turn in bounded([Utterance("one"), Utterance("two"), Utterance("three")], characters_max=8)]
    ['two', 'three']
    >>> [turn.text for turn in bounded([Utterance("one"), Utterance("three")], characters_max=3)]
    ['ree']
    """
    kept: list[Utterance] = []
    left = characters_max
    for utterance in reversed(list(utterances)):
        if kept and (len(utterance.text) > left or len(kept) == utterances_max):
            break
        kept.append(Utterance(utterance.text[-characters_max:], utterance.by_bot, utterance.speaker))
        left -= len(utterance.text)
    return tuple(reversed(kept))


def _quoted(message: Message, bot_id: int, earlier: list[Utterance]) -> list[Utterance]:
    """Return the bot's message that is replied to, unless it is in the conversation already."""
    replied: Any = message.reply_to_message
    if replied is None or replied.from_user is None or replied.from_user.id != bot_id:
        return []
    text = text_of(replied)
    return (
        [Utterance(text, by_bot=True)]
        if text and text not in {utterance.text for utterance in earlier if utterance.by_bot}
        else []
    )
