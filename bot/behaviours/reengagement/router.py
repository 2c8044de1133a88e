"""What users may do about it: ``/stop`` opts out, and ``/start`` in again, also where ``preferences`` is not chosen."""

from __future__ import annotations

from aiogram import F, Router

from tempogram.bot.behaviours.preferences import IsCommand, opt_in, opt_out
from tempogram.bot.behaviours.reengagement.settings import CAMPAIGN


def router() -> Router:
    made = Router(name=CAMPAIGN)
    made.message.register(opt_out, F.text, IsCommand("stop"))
    made.message.register(opt_in, F.text, IsCommand("start"))
    return made
