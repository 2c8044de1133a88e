"""What bots say: aiogram routers whose handlers return methods.

Each bot's settings in the database name the behaviours it has, with what each
needs to know: ``{"commands": {"start": "Hello, {first_name}!"}, "echo": {}}``.

    enabled    the filter that asks those settings
    commands   answers commands with templates
    replies    answers whoever speaks to the bot, by a text generator
    echo       says everything again
    own        the routers of one's own modules, which are asked first
"""

from tempogram.bot.behaviours import own
from tempogram.bot.behaviours.registry import DEFAULT, check, router

__all__ = ["DEFAULT", "check", "own", "router"]
