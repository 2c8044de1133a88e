"""One generator, and another for when it has nothing."""

from __future__ import annotations

import structlog

from tempogram.bot.generator.port import Conversation, NotWritten, TextGenerator, Written

log = structlog.get_logger()


class Fallback:
    """See ``TextGenerator``."""

    def __init__(self, first: TextGenerator, otherwise: TextGenerator) -> None:
        self._first = first
        self._otherwise = otherwise

    @property
    def takes_time(self) -> bool:
        return self._first.takes_time

    async def generate(self, conversation: Conversation) -> Written | NotWritten:
        match await self._first.generate(conversation):
            case NotWritten(reason):
                log.warning("generator failed", bot_id=conversation.bot_id, reason=reason)
                return await self._otherwise.generate(conversation)
            case written:
                return written
