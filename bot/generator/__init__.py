"""Who writes what a bot answers: a text generator.

port               the promise, and what travels: a conversation in, a text or the reason for none out
templates          the embedded one: texts from the bot's own settings, in turn
chat_completions   any server that speaks OpenAI's chat completions over HTTP
fallback           the one, and if it has nothing the other
author             what was said so far, to a generator, and its text back into the books
chat_action        lets people see that an answer is being written
"""

from tempogram.bot.generator.port import Conversation, NotWritten, TextGenerator, Utterance, Written

__all__ = ["Conversation", "NotWritten", "TextGenerator", "Utterance", "Written"]
