"""Puts the program together. The only folder that names concrete classes.

Read in this order:

    context    the settings, the role and the clock, which every part gets
    storage    the database, and the repositories over it
    queue      the queue and its channels: in this process, or in Redis
    telegram   the bots, and the connections to Telegram
    engine     the parts that send messages
    services   what behaviours call besides Telegram
    watches    what chats watch, and who asks for it
    scheduler  tasks at their time
    updates    the parts that receive updates and answer them
    reengagement  messages to users who have gone quiet
    door       the parts that serve the Bot API itself
    sightings  what each process finds wrong in itself
    broadcasts  what operators do with broadcasts, and what feeds the queue
    alerts     what is looked for, and by which channels it is said
    front      these two and the fleet: what a process has that does more than send
    program    the whole program
    app        what its HTTP server serves
"""

from tempogram.bot.wiring.app import app_of
from tempogram.bot.wiring.program import Program, program
from tempogram.bot.wiring.storage import Storage, open_storage

__all__ = ["Program", "Storage", "app_of", "open_storage", "program"]
