"""The embedded generator: the bot's own templates, one after the other."""

from __future__ import annotations

from tempogram.bot.generator.port import Conversation, Written


class Templates:
    """See ``TextGenerator``. Which one is chosen hangs on the update, so that a second run says the same."""

    takes_time = False

    async def generate(self, conversation: Conversation) -> Written:
        templates = conversation.templates
        return Written(templates[conversation.update_id % len(templates)])
