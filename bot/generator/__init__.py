"""Text generators, which write what a bot answers.

Read in this order:

    port              the interface: a conversation in; a text, or the reason for none, out
    templates         the embedded generator: texts from the bot's own settings; and the fallback to it
    chat_completions  a generator over HTTP, for any server with OpenAI's chat completions
    conversation      hands the conversation so far to a generator, and stores what it writes
    chat_action       shows "typing" while an answer is being written
"""

from tempogram.bot.generator.port import Conversation, NotWritten, TextGenerator, Utterance, Written

__all__ = ["Conversation", "NotWritten", "TextGenerator", "Utterance", "Written"]
