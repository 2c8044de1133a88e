"""Puts the program together. The one folder that names concrete classes.

Read in this order:

    storage   the database and what is kept in it
    telegram  the bots, and the connections to Telegram
    queue     the queue and the channels: in this process, or in Redis
    engine    what sends
    updates   what comes in, and who answers it
    program   all of them, and the HTTP side
"""

from tempogram.bot.wiring.program import Program, program
from tempogram.bot.wiring.storage import Storage, open_storage

__all__ = ["Program", "Storage", "open_storage", "program"]
