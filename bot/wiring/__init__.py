"""Puts the program together. The one folder that names concrete classes.

books     what is kept
line      the bots, and the connections to Telegram
schedule  who may send what, and when: in this process, or in Redis
engine    what sends it
talk      what comes in, and who answers it
program   all of them, and the HTTP side
"""

from tempogram.bot.wiring.books import Books, books
from tempogram.bot.wiring.program import Program, program

__all__ = ["Books", "Program", "books", "program"]
