"""What bots answer: aiogram routers whose handlers return methods.

Each bot's settings in the database name its behaviours, each with its config:
``{"commands": {"start": "Hello, {first_name}!"}, "echo": {}}``.

Read in this order:

    registry   the bundled behaviours, in the order in which they are asked
    enabled    the filter that reads those settings
    commands   answers commands with templates
    replies    answers mentions and replies, by a text generator
    echo       repeats every text
    own        loads the routers of a user's modules, which are asked first
"""

from tempogram.bot.behaviours import own
from tempogram.bot.behaviours.registry import DEFAULT, check, router

__all__ = ["DEFAULT", "check", "own", "router"]
