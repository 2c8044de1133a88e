"""What bots say: aiogram routers whose handlers return methods.

Each bot's settings in the database name the behaviours it has, with what each
needs to know: ``{"commands": {"start": "Hello, {first_name}!"}, "echo": {}}``.

    enabled    the filter that asks those settings
    commands   answers commands with templates
    echo       says everything again
"""

from bot.behaviours.registry import DEFAULT, check, router

__all__ = ["DEFAULT", "check", "router"]
