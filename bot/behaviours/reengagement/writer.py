"""Writes the text for a chat: by a language model that knows the last conversation, or from a template."""

from __future__ import annotations

import re
from zlib import crc32

import structlog

from tempogram.bot.behaviours.cutting import cut
from tempogram.bot.behaviours.reengagement.settings import ReengagementSettings
from tempogram.bot.generator.conversation import UTTERANCES_MAX, bounded, utterance_of
from tempogram.bot.generator.port import Conversation, NotWritten, TextGenerator, Utterance, Written
from tempogram.engine.model.clock import Clock
from tempogram.engine.model.selection import Recipient
from tempogram.engine.selection.days import minute_of_day
from tempogram.storage.texts import Texts

log = structlog.get_logger()

LAST_MINUTES = 5
"""In the last minutes of the hour the model is not asked: the chats due then must have a message before it ends."""

HOUR_MINUTES = 60

QUIET_FOR = "[The user has not written for {days} days. Write to them now, in the language of the conversation.]"
"""The last thing that a model is given, as a user's text: many servers answer only these."""

NAMELESS = {"first_name": "", "title": ""}

_FIELD = re.compile(r"\{(\w+)\}")
_BEFORE_A_MARK = re.compile(r" +(?=[,.!?:;])")


class Writer:
    """Writes texts; it never fails, as a template needs nothing.

    Args:
        model: None: there is none.
        texts: Where conversations are kept; None: nowhere.
        keep_ms: How old a text may be to be part of a conversation.
    """

    def __init__(self, model: TextGenerator | None, *, texts: Texts | None, keep_ms: int, clock: Clock) -> None:
        self._model = model
        self._texts = texts
        self._keep_ms = keep_ms
        self._clock = clock

    @property
    def takes_time(self) -> bool:
        return self._model is not None

    def asks_model(self, recipient: Recipient, settings: ReengagementSettings) -> bool:
        """Tell whether the model is asked for this chat now."""
        if self._model is None:
            return False
        since = (minute_of_day(recipient.zone, self._clock()) - settings.at_minute) % (24 * HOUR_MINUTES)
        return since < HOUR_MINUTES - LAST_MINUTES

    async def text_for(self, bot_id: int, recipient: Recipient, settings: ReengagementSettings) -> str:
        if self._model is not None and self.asks_model(recipient, settings):
            match await self._model.generate(await self._conversation(bot_id, recipient, settings)):
                case Written(text):
                    return cut(text)
                case NotWritten(reason):
                    log.warning("generator_failed", bot_id=bot_id, reason=reason)
        return template_for(recipient, settings)

    async def _conversation(self, bot_id: int, recipient: Recipient, settings: ReengagementSettings) -> Conversation:
        now = Utterance(QUIET_FOR.format(days=settings.after_days))
        return Conversation(
            bot_id=bot_id,
            update_id=0,  # it answers none
            system=settings.system,
            templates=settings.templates,
            utterances=bounded([*await self._before(bot_id, recipient), now]),
        )

    async def _before(self, bot_id: int, recipient: Recipient) -> list[Utterance]:
        if self._texts is None:
            return []
        since_ms = self._clock() - self._keep_ms
        kept = await self._texts.recent(bot_id, recipient.chat_id, since_ms=since_ms, limit=UTTERANCES_MAX)
        return [utterance_of(each) for each in kept]


def template_for(recipient: Recipient, settings: ReengagementSettings) -> str:
    """Return the template of a chat for this day, filled in: another day may have another, and a retry has the same."""
    chosen = crc32(f"{recipient.chat_id} {recipient.local_date}".encode()) % len(settings.templates)
    return cut(fill(settings.templates[chosen], recipient.title))


def fill(template: str, title: str | None) -> str:
    """Fill in ``{first_name}`` and ``{title}``; braces around another word stay as they are.

    >>> fill("Hello {first_name}, {title}!", "Anna Smith"), fill("Hello {first_name}!", None)
    ('Hello Anna, Anna Smith!', 'Hello!')
    """
    known = {"first_name": title.split()[0], "title": title} if title and title.strip() else NAMELESS
    filled = _FIELD.sub(lambda matched: known.get(matched[1], matched[0]), template)
    return filled if known is not NAMELESS else _BEFORE_A_MARK.sub("", filled).lstrip(" ,")
