"""The embedded generator, which answers with the bot's own templates, and the fallback to it."""

from __future__ import annotations

import structlog

from tempogram.bot.generator.port import Conversation, NotWritten, TextGenerator, Written

log = structlog.get_logger()


class Templates:
    """See ``TextGenerator``. The update's id chooses the template, so that handling it again gives the same text."""

    takes_time = False

    async def generate(self, conversation: Conversation) -> Written:
        templates = conversation.templates
        return Written(templates[conversation.update_id % len(templates)])


class Fallback:
    """See ``TextGenerator``. Asks the first generator, and the second one where the first wrote nothing."""

    def __init__(self, first: TextGenerator, otherwise: TextGenerator) -> None:
        self._first = first
        self._otherwise = otherwise

    @property
    def takes_time(self) -> bool:
        return self._first.takes_time

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        match await self._first.generate(conversation):
            case NotWritten(reason):
                log.warning("generator_failed", bot_id=conversation.bot_id, reason=reason)
                return await self._otherwise.generate(conversation)
            case written:
                return written
